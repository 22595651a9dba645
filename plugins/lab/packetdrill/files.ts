/**
 * The descriptors of a script: sockets of the stack, and the pipes, files and epoll sets that stand around them.
 *
 * @module
 */
import type { Machine, Net } from "../../../core/mod.ts";
import type { Syscalls } from "../../socket/syscall/contract.ts";
import type { Sock } from "../../transport/sock/contract.ts";
import type { Config } from "./config.ts";
import type { Conn } from "./conn.ts";
import { O_NONBLOCK, O_RDWR } from "./constants.ts";
import type { ScriptedTcp } from "./tcp_api.ts";

/** An open socket. */
export interface SocketFile {
  readonly kind: "socket";
  /** The stack's descriptor. */
  readonly live: number;
  readonly conn: Conn;
  /** O_RDWR, O_NONBLOCK. */
  flags: number;
}

/** One socket that an epoll set watches. */
export interface EpollItem {
  readonly fd: number;
  readonly live: number;
  events: number;
  readonly data: number;
  /** What was ready when it was last looked at. */
  bits: number;
  /** Something may have changed since it was last reported. */
  fresh: boolean;
  /** EPOLLONESHOT: reported once, waits to be armed again. */
  spent: boolean;
  /** Errors and bytes that waited when it was last looked at. */
  errors: number;
  readable: number;
}

/** One end of a pipe. */
export interface PipeFile {
  readonly kind: "pipe";
  readonly pipe: { bytes: number; readers: number; writers: number };
  readonly writes: boolean;
}

/** Anything open. */
export type ScriptFile =
  | SocketFile
  | PipeFile
  | { readonly kind: "epoll"; readonly items: Map<number, EpollItem> }
  | { readonly kind: "file"; readonly size: number; pos: number };

/** All that a running script stands on. */
export interface Bench {
  readonly machine: Machine;
  readonly net: Net;
  readonly sys: Syscalls;
  readonly tcp: ScriptedTcp | null;
  readonly config: Config;
  /** By the script's descriptor. */
  readonly files: Map<number, ScriptFile>;
  /** Files by name: sizes of files full of zeros. */
  readonly disk: Map<string, number>;
  readonly conns: Conn[];
  /** Whose packets the lines are about: the socket that was made last, or its newest connection. */
  underTest: Conn | null;
  /** ns of the machine's clock at which the script began. */
  startNs: number;
  /** The next port of the peer. */
  nextPort: number;
}

/** Microseconds since the script began. */
export function elapsed(b: Bench): number {
  return (b.machine.now - b.startNs) / 1000;
}

/** The socket of a script's descriptor, or null. */
export function socketOf(b: Bench, fd: number): SocketFile | null {
  const file = b.files.get(fd);
  return file !== undefined && file.kind === "socket" ? file : null;
}

/** The stack's socket, or null. */
export function sockOf(b: Bench, file: SocketFile): Sock | null {
  return b.sys.sock(file.live);
}

/** A socket that is open now. */
export function openSocket(b: Bench, fd: number, live: number, conn: Conn, flags: number): void {
  b.files.set(fd, { kind: "socket", live, conn, flags: O_RDWR | (flags & O_NONBLOCK) });
  conn.fd = fd;
}
