/**
 * An RSA key and a certificate for this machine, signed by itself, as a server's administrator would have them.
 * @module
 */
import { Buffer } from "node:buffer";
import { webcrypto, X509Certificate } from "node:crypto";
import "reflect-metadata";
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from "@peculiar/x509";

const ALGORITHM = {
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  publicExponent: new Uint8Array([1, 0, 1]),
  modulusLength: 2048,
};
const ONE_DAY_MS = 86_400_000;

/**
 * Makes a key of 2,048 bits and a certificate for `127.0.0.1`, good for one day.
 * @returns {Promise<{ keyPem: string, keyDer: Buffer, certificatePem: string, secrets: Buffer[] }>} `secrets` are
 *   the numbers of the key that its certificate does not tell.
 */
export async function makeCertificate() {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: "01",
      name: "CN=Apollo",
      notBefore: new Date(Date.now() - ONE_DAY_MS),
      notAfter: new Date(Date.now() + ONE_DAY_MS),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [new SubjectAlternativeNameExtension([{ type: "ip", value: "127.0.0.1" }])],
    },
    webcrypto,
  );
  const keyDer = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  const numbers = await webcrypto.subtle.exportKey("jwk", keys.privateKey);
  return {
    keyPem: pemOf("PRIVATE KEY", keyDer),
    keyDer,
    certificatePem: new X509Certificate(Buffer.from(certificate.rawData)).toString(),
    secrets: ["d", "p", "q", "dp", "dq", "qi"].map((name) => Buffer.from(numbers[name], "base64url")),
  };
}

function pemOf(label, der) {
  const lines = der.toString("base64").match(/.{1,64}/gu);
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
