/**
 * What a token helper's process is given of the environment: what modules are configured by, and nothing that an
 * application may keep there.
 * @module
 */
import process from "node:process";

/** Names that a module, or what it is made of, reads. */
const KEPT = [
  // The system's own.
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "LANG",
  "LC_ALL",
  "LC_CTYPE",
  "TMPDIR",
  "XDG_RUNTIME_DIR",
  "XDG_CONFIG_HOME",
  "XDG_CACHE_HOME",
  "DBUS_SESSION_BUS_ADDRESS",
  "DBUS_SYSTEM_BUS_ADDRESS",
  "LD_LIBRARY_PATH",
  "SystemRoot",
  "windir",
  "TEMP",
  "TMP",
  "USERPROFILE",
  "APPDATA",
  "LOCALAPPDATA",
  "ProgramData",
  "ProgramFiles",
  // Card services, soft tokens, TPM and the common HSMs.
  "PCSCLITE_CSOCK_NAME",
  "OPENSC_CONF",
  "SOFTHSM2_CONF",
  "NSS_DEFAULT_DB_TYPE",
  "TPM2_PKCS11_STORE",
  "TPM2_PKCS11_TCTI",
  "TCTI",
  "YUBIHSM_PKCS11_CONF",
  "ChrystokiConfigurationPath",
  "CS_PKCS11_R2_CFG",
  "CS_PKCS11_R3_CFG",
  "NFAST_HOME",
  "CKNFAST_LOADSHARING",
] as const;

/** Returns the helper's whole environment. @param more of the caller; it wins. */
export function helperEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const name of KEPT) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return { ...environment, ...more };
}
