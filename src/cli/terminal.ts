/** What a command of the command line may use of the outside. */
export type Terminal = {
  readonly env: Readonly<Record<string, string | undefined>>
  print(line: string): void
  printError(line: string): void
}

/** A command: takes its arguments, resolves to the exit code. */
export type CliCommand = (args: readonly string[], terminal: Terminal) => Promise<number>
