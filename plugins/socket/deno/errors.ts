/**
 * Errors of the socket face: a class per errno, with Deno's `name` and Node's `code`.
 *
 * Where the host is Deno, `error instanceof Deno.errors.AddrInUse` holds too.
 *
 * @module
 */
import { ERRNO, errnoName, strerror } from "../../../core/mod.ts";

/** What all errors of the socket face have. */
export interface SocketError extends Error {
  /** `EADDRINUSE`: Node's name of the errno. */
  readonly code: string;
  /** The errno, negated, as Node has it. */
  readonly errno: number;
  /** The ICMP error that caused it, if one did. */
  readonly icmp?: IcmpCause;
}

/** The ICMP error behind a socket error. */
export interface IcmpCause {
  /** Who sent it: `10.0.0.254`. */
  readonly from: string;
  /** ICMP type. */
  readonly type: number;
  /** ICMP code. */
  readonly code: number;
}

/** Options of the error classes. */
export interface SocketErrorOptions extends ErrorOptions {
  /** The ICMP error that caused it. */
  icmp?: IcmpCause;
}

type Make = new (message: string, options?: SocketErrorOptions) => SocketError;

/** Something else went wrong: an errno that has no class of its own. `name` is `Error`, as in Deno. */
export class SocketFailure extends Error implements SocketError {
  /** Node's name of the errno. */
  readonly code: string;
  /** The errno, negated. */
  readonly errno: number;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error for `errno` (positive or negated) with a message in the form "Cannot do this: reason". */
  constructor(errno: number, message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.code = errnoName(errno);
    this.errno = -Math.abs(errno);
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** EADDRINUSE: another socket has the address and port. */
export class AddrInUse extends Error implements SocketError {
  /** `EADDRINUSE`. */
  readonly code: string = "EADDRINUSE";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.EADDRINUSE;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "AddrInUse";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** EADDRNOTAVAIL: the address is not one of this host's, or no port is free. */
export class AddrNotAvailable extends Error implements SocketError {
  /** `EADDRNOTAVAIL`. */
  readonly code: string = "EADDRNOTAVAIL";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.EADDRNOTAVAIL;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "AddrNotAvailable";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** EBADF: the socket is closed. */
export class BadResource extends Error implements SocketError {
  /** `EBADF`. */
  readonly code: string = "EBADF";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.EBADF;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "BadResource";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** EPIPE: the sending half is closed. */
export class BrokenPipe extends Error implements SocketError {
  /** `EPIPE`. */
  readonly code: string = "EPIPE";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.EPIPE;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "BrokenPipe";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** ECONNABORTED: the connection was given up. */
export class ConnectionAborted extends Error implements SocketError {
  /** `ECONNABORTED`. */
  readonly code: string = "ECONNABORTED";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.ECONNABORTED;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "ConnectionAborted";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** ECONNREFUSED: nobody listens at the destination port. */
export class ConnectionRefused extends Error implements SocketError {
  /** `ECONNREFUSED`. */
  readonly code: string = "ECONNREFUSED";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.ECONNREFUSED;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "ConnectionRefused";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** ECONNRESET: the peer ended the connection at once. */
export class ConnectionReset extends Error implements SocketError {
  /** `ECONNRESET`. */
  readonly code: string = "ECONNRESET";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.ECONNRESET;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "ConnectionReset";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** EHOSTUNREACH: the host cannot be reached. Deno has no class for it: `name` is `Error`. */
export class HostUnreachable extends Error implements SocketError {
  /** `EHOSTUNREACH`. */
  readonly code: string = "EHOSTUNREACH";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.EHOSTUNREACH;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "Error";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** EINTR: the socket was closed while the call waited. */
export class Interrupted extends Error implements SocketError {
  /** `EINTR`. */
  readonly code: string = "EINTR";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.EINTR;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "Interrupted";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** EINVAL: an argument that the socket does not take. Deno has no class for it: `name` is `TypeError`. */
export class InvalidArgument extends TypeError implements SocketError {
  /** `EINVAL`. */
  readonly code: string = "EINVAL";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.EINVAL;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "TypeError";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** EMSGSIZE: too long for a datagram, or for a path that must not fragment it. Deno has no class for it: `name` is `Error`. */
export class MessageTooLong extends Error implements SocketError {
  /** `EMSGSIZE`. */
  readonly code: string = "EMSGSIZE";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.EMSGSIZE;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "Error";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** ENETUNREACH: there is no route. */
export class NetworkUnreachable extends Error implements SocketError {
  /** `ENETUNREACH`. */
  readonly code: string = "ENETUNREACH";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.ENETUNREACH;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "NetworkUnreachable";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** ENOTCONN: the socket has no peer. */
export class NotConnected extends Error implements SocketError {
  /** `ENOTCONN`. */
  readonly code: string = "ENOTCONN";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.ENOTCONN;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "NotConnected";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** EOPNOTSUPP: the socket cannot do that. */
export class NotSupported extends Error implements SocketError {
  /** `EOPNOTSUPP`. */
  readonly code: string = "EOPNOTSUPP";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.EOPNOTSUPP;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "NotSupported";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** EACCES: not allowed: a broadcast without SO_BROADCAST. */
export class PermissionDenied extends Error implements SocketError {
  /** `EACCES`. */
  readonly code: string = "EACCES";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.EACCES;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "PermissionDenied";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** ETIMEDOUT: no answer came in time. */
export class TimedOut extends Error implements SocketError {
  /** `ETIMEDOUT`. */
  readonly code: string = "ETIMEDOUT";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.ETIMEDOUT;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "TimedOut";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

/** EAGAIN: it cannot be done now. */
export class WouldBlock extends Error implements SocketError {
  /** `EAGAIN`. */
  readonly code: string = "EAGAIN";
  /** The errno, negated. */
  readonly errno: number = -ERRNO.EAGAIN;
  /** The ICMP error that caused it. */
  readonly icmp?: IcmpCause;

  /** An error with a message in the form "Cannot do this: reason". */
  constructor(message: string, options?: SocketErrorOptions) {
    super(message, options);
    this.name = "WouldBlock";
    if (options?.icmp !== undefined) this.icmp = options.icmp;
  }
}

const CLASSES: Readonly<Record<string, Make>> = {
  EADDRINUSE: AddrInUse,
  EADDRNOTAVAIL: AddrNotAvailable,
  EBADF: BadResource,
  EPIPE: BrokenPipe,
  ECONNABORTED: ConnectionAborted,
  ECONNREFUSED: ConnectionRefused,
  ECONNRESET: ConnectionReset,
  EHOSTUNREACH: HostUnreachable,
  EINTR: Interrupted,
  EINVAL: InvalidArgument,
  EMSGSIZE: MessageTooLong,
  ENETUNREACH: NetworkUnreachable,
  ENOTCONN: NotConnected,
  EOPNOTSUPP: NotSupported,
  EACCES: PermissionDenied,
  ETIMEDOUT: TimedOut,
  EAGAIN: WouldBlock,
  EPERM: PermissionDenied,
};

/** In Deno, what is an error of ours is one of Deno's too. */
function adopt(): void {
  const errors = (globalThis as { Deno?: { errors?: Record<string, { prototype: object }> } }).Deno?.errors;
  if (errors === undefined) return;
  for (const make of Object.values(CLASSES)) {
    const twin = errors[make.name];
    if (twin !== undefined) Object.setPrototypeOf(make.prototype, twin.prototype);
  }
}
adopt();

/**
 * The error of an errno (positive or negated): "Cannot " + `what` + ": " + its sentence.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { AddrInUse, socketError } from "@netpath/stack/deno";
 *
 * const error = socketError(-98, "bind 10.0.0.1:80");
 * assertEquals(error instanceof AddrInUse, true);
 * assertEquals(error.message, "Cannot bind 10.0.0.1:80: address in use");
 * assertEquals([error.name, error.code], ["AddrInUse", "EADDRINUSE"]);
 * ```
 */
export function socketError(errno: number, what: string, options?: SocketErrorOptions): SocketError {
  const message = `Cannot ${what}: ${strerror(errno)}`;
  const code = errnoName(errno);
  const make = CLASSES[code];
  if (make === undefined) return new SocketFailure(errno, message, options);
  const error = new make(message, options);
  return error.code === code ? error : Object.assign(error, { code, errno: -Math.abs(errno) });
}
