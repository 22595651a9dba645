/**
 * `node:net`'s ways to give arguments.
 */
import type { ConnectOptions, ListenOptions } from "./contract.ts";
import { codedError } from "./errors.ts";

type Listener = (...args: unknown[]) => void;

/** `(options, listener?)`, `(port, host?, listener?)` or `(port, listener?)`. */
export function normalizeConnect(args: readonly unknown[]): { options: ConnectOptions; listener: Listener | null } {
  const listener = typeof args.at(-1) === "function" ? args.at(-1) as Listener : null;
  const [first, second] = args;
  if (typeof first === "object" && first !== null) {
    const options = first as ConnectOptions & { path?: unknown };
    // An HTTP request has the path of its URL there, and a port beside it.
    if (options.port === undefined || options.port === null) throw missing(options.path);
    return { options, listener };
  }
  if (typeof first === "string" && Number.isNaN(Number(first))) throw missing(first);
  if (typeof first !== "number" && typeof first !== "string") throw missing(undefined);
  return { options: typeof second === "string" ? { port: first, host: second } : { port: first }, listener };
}

function missing(path: unknown): Error {
  const make = TypeError as unknown as ErrorConstructor;
  if (typeof path !== "string") return codedError("ERR_MISSING_ARGS", "Cannot connect: it takes a port", make);
  return codedError("ERR_INVALID_ARG_VALUE", `Cannot connect to the path ${path}: there are no local sockets`, make);
}

/** `(options?, listener?)`, `(port?, host?, backlog?, listener?)` and the shorter ones. */
export function normalizeListen(args: readonly unknown[]): { options: ListenOptions; listener: Listener | null } {
  const listener = typeof args.at(-1) === "function" ? args.at(-1) as Listener : null;
  const plain = listener === null ? args : args.slice(0, -1);
  const [first, second, third] = plain;
  if (typeof first === "object" && first !== null) {
    const options = first as ListenOptions & { path?: unknown };
    if (typeof options.path === "string") throw missing(options.path);
    return { options, listener };
  }
  if (typeof first === "string" && Number.isNaN(Number(first))) throw missing(first);
  const options: ListenOptions = {};
  if (first !== undefined && first !== null) options.port = first as number;
  if (typeof second === "string") options.host = second;
  const backlog = typeof second === "number" ? second : third;
  if (typeof backlog === "number") options.backlog = backlog;
  return { options, listener };
}
