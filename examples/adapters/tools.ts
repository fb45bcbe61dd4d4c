// Tools for a language model, for any framework that takes a name, a description, a JSON schema and a function: OpenAI's and Anthropic's
// clients, the AI SDK (its `jsonSchema()`), LangChain (`tool()`), an MCP server. One sandbox for each conversation.
//
//   for (const { name, description, parameters, execute } of sandboxTools("conversation-17")) ...
import { isGone, isSmolVMError, SmolVM, type VMConfig } from "smolvm";

/** One tool. `execute` gives what the model is to read, also of what failed; it throws if nothing that the model did can help. */
export interface Tool {
  readonly name: string;
  readonly description: string;
  /** JSON schema of an object of strings, all of which are required */
  readonly parameters: object;
  execute(args: Readonly<Record<string, string>>, options?: { signal?: AbortSignal }): Promise<string>;
}

/** A model that reads more forgets what it was asked. */
const MAX_OUTPUT_BYTES = 16_384;
const TIMEOUT_MS = 60_000;
/** The sandbox goes when the conversation was quiet for so long. */
const IDLE_MS = 3_600_000;

/**
 * @param conversation what the sandbox is found by: the same one, in whatever process
 * @param config what a new one is like
 */
export function sandboxTools(conversation: string, config: VMConfig = { network: "off" }): Tool[] {
  /** The sandbox, with its time to live begun anew; another one if it is gone. */
  async function withSandbox<T>(use: (vm: SmolVM) => Promise<T>): Promise<T> {
    await using vm = await SmolVM.getOrCreate(conversation, { ...config, ttlMs: IDLE_MS });
    await vm.setTtl(IDLE_MS);
    return await use(vm);
  }

  const tool = (
    name: string,
    description: string,
    names: readonly string[],
    act: (vm: SmolVM, args: Readonly<Record<string, string>>, signal?: AbortSignal) => Promise<string>,
  ): Tool => ({
    name,
    description,
    parameters: {
      type: "object",
      properties: Object.fromEntries(names.map((each) => [each, { type: "string" }])),
      required: names,
      additionalProperties: false,
    },
    execute: async (args, { signal } = {}) => {
      const wrong = names.filter((each) => typeof args?.[each] !== "string");
      if (wrong.length > 0) return `error: not given as a string: ${wrong.join(", ")}`;
      try {
        return await withSandbox((vm) => act(vm, args, signal));
      } catch (error) {
        if (isGone(error))
          return "error: the sandbox was lost with all its files; the next call gets a new one";
        // A missing file, a name that is none, a command that is not there: the model may do better.
        if (isSmolVMError(error) && /^(FILE|COMMAND|RUN)_|^CONFIG_INVALID$/.test(error.code))
          return `error: ${error.message}`;
        throw error;
      }
    },
  });

  return [
    tool(
      "run_command",
      `Runs a shell command in a Linux sandbox, as root, for at most ${TIMEOUT_MS / 1000} s.`,
      ["command"],
      async (vm, { command }, signal) => {
        const { output, exitCode, stoppedBy, truncated } = await vm.run(command!, {
          ...{ signal, timeoutMs: TIMEOUT_MS, ifStopped: "result" },
          ...{ maxOutputBytes: MAX_OUTPUT_BYTES, overflow: "keepLast" }, // errors come last
        });
        const end = stoppedBy === undefined ? `exit code ${exitCode}` : `killed (${stoppedBy})`;
        return `${truncated ? "[the beginning is left out]\n" : ""}${output}\n[${end}]`;
      },
    ),
    tool("read_file", "Reads a text file of the sandbox.", ["path"], (vm, { path }, signal) =>
      vm.files.readText(path!, { maxBytes: MAX_OUTPUT_BYTES, signal }),
    ),
    tool(
      "write_file",
      "Writes a text file of the sandbox; directories above it are made.",
      ["path", "content"],
      async (vm, { path, content }, signal) => {
        await vm.files.write(path!, content!, { parents: true, signal });
        return "written";
      },
    ),
  ];
}
