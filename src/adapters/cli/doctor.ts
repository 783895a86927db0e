/**
 * `coffer doctor`: looks at everything of a vault, and with `--repair` mends what can be proven.
 * @module
 */
import { diagnoseVault, type VaultDiagnosis, type VaultFinding } from "../../index.ts";
import { commandLineAdvice } from "./advice.ts";
import type { Arguments } from "./arguments.ts";
import { type Command, type Invocation, vaultDirectory } from "./command.ts";
import { EXIT_DONE, EXIT_REFUSED, type Field, fieldLines } from "./output.ts";
import { SECRET_OPTIONS, unlockerFrom } from "./secret-input.ts";
import { SESSION_OPTIONS } from "./vault-session.ts";

export const doctorCommand: Command = {
  name: "doctor",
  summary: "check a vault and say what to do; with a secret every record is opened",
  synopsis: "[--repair]",
  positionals: [],
  options: {
    ...SESSION_OPTIONS,
    repair: {
      help: "mend what can be proven: header copies, records from their mirrors, lost files, leftovers, modes",
    },
  },
  notes: [
    "Without --passphrase-file, --recovery-code-file or --module no secret is asked for and no record is opened.",
    "Nothing is changed without --repair. Of a damaged file index it keeps what opens; see what is lost without it first.",
    "Stored files are looked up, not decrypted: coffer store verify does that.",
    "Exit 0: sound; 1: something is to be done.",
  ],
  run,
};

const VERDICTS: Readonly<Record<VaultDiagnosis["verdict"], string>> = {
  sound: "sound",
  attention: "something needs attention",
  damaged: "damaged",
};

async function run({ args, output, signal }: Invocation): Promise<void> {
  const directory = vaultDirectory(args);
  const diagnosis = await diagnoseVault(directory, {
    ...(hasSecret(args) && { unlock: await unlockerFrom(args, directory, signal) }),
    repair: args.has("repair"),
    signal,
  });
  output.exitCode = diagnosis.verdict === "sound" ? EXIT_DONE : EXIT_REFUSED;
  const findings = diagnosis.findings.map((finding) => ({
    ...finding,
    message: commandLineAdvice(finding.message),
  }));
  const told = { ...diagnosis, findings };
  await output.result(told, linesOf(told));
}

function hasSecret(args: Arguments): boolean {
  return Object.keys(SECRET_OPTIONS).some((option) => args.has(option));
}

function linesOf({ directory, findings, verdict, isComplete }: VaultDiagnosis): readonly string[] {
  const incomplete = isComplete ? "" : "; the records were not checked";
  return [
    ...fieldLines(
      findings.map((finding): Field => [
        finding.isRepaired ? "repaired" : finding.severity,
        `${finding.part}: ${finding.message}${namesOf(finding)}`,
      ]),
    ),
    `${directory}: ${VERDICTS[verdict]}${incomplete}`,
  ];
}

function namesOf({ names }: VaultFinding): string {
  return names === undefined ? "" : ` (${names.join(", ")})`;
}
