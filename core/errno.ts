/**
 * Error numbers with their sentences: a closed list. Linux: include/uapi/asm-generic/errno.h, errno(3).
 *
 * System calls return them negated, as the kernel does; nothing throws below the socket face.
 */

/** A name of the list. */
export type ErrnoName =
  | "EPERM"
  | "ENOENT"
  | "ESRCH"
  | "EINTR"
  | "EIO"
  | "ENXIO"
  | "EBADF"
  | "EAGAIN"
  | "ENOMEM"
  | "EACCES"
  | "EFAULT"
  | "EBUSY"
  | "EEXIST"
  | "ENODEV"
  | "EINVAL"
  | "EMFILE"
  | "EPIPE"
  | "EDOM"
  | "ERANGE"
  | "ENONET"
  | "EPROTO"
  | "ENOTSOCK"
  | "EDESTADDRREQ"
  | "EMSGSIZE"
  | "EPROTOTYPE"
  | "ENOPROTOOPT"
  | "EPROTONOSUPPORT"
  | "ESOCKTNOSUPPORT"
  | "EOPNOTSUPP"
  | "EPFNOSUPPORT"
  | "EAFNOSUPPORT"
  | "EADDRINUSE"
  | "EADDRNOTAVAIL"
  | "ENETDOWN"
  | "ENETUNREACH"
  | "ECONNABORTED"
  | "ECONNRESET"
  | "ENOBUFS"
  | "EISCONN"
  | "ENOTCONN"
  | "ESHUTDOWN"
  | "ETIMEDOUT"
  | "ECONNREFUSED"
  | "EHOSTDOWN"
  | "EHOSTUNREACH"
  | "EALREADY"
  | "EINPROGRESS"
  | "ECANCELED";

const TABLE: Readonly<Record<ErrnoName, readonly [number, string]>> = {
  EPERM: [1, "operation not permitted"],
  ENOENT: [2, "no such file or directory"],
  ESRCH: [3, "no such process"],
  EINTR: [4, "interrupted system call"],
  EIO: [5, "input or output error"],
  ENXIO: [6, "no such device or address"],
  EBADF: [9, "bad file descriptor"],
  EAGAIN: [11, "resource temporarily unavailable"],
  ENOMEM: [12, "out of memory"],
  EACCES: [13, "permission denied"],
  EFAULT: [14, "bad address"],
  EBUSY: [16, "device or resource busy"],
  EEXIST: [17, "file exists"],
  ENODEV: [19, "no such device"],
  EINVAL: [22, "invalid argument"],
  EMFILE: [24, "too many open files"],
  EPIPE: [32, "broken pipe"],
  EDOM: [33, "argument out of domain"],
  ERANGE: [34, "result out of range"],
  ENONET: [64, "machine is not on the network"],
  EPROTO: [71, "protocol error"],
  ENOTSOCK: [88, "not a socket"],
  EDESTADDRREQ: [89, "destination address required"],
  EMSGSIZE: [90, "message too long"],
  EPROTOTYPE: [91, "protocol wrong type for socket"],
  ENOPROTOOPT: [92, "protocol not available"],
  EPROTONOSUPPORT: [93, "protocol not supported"],
  ESOCKTNOSUPPORT: [94, "socket type not supported"],
  EOPNOTSUPP: [95, "operation not supported"],
  EPFNOSUPPORT: [96, "protocol family not supported"],
  EAFNOSUPPORT: [97, "address family not supported"],
  EADDRINUSE: [98, "address in use"],
  EADDRNOTAVAIL: [99, "address not available"],
  ENETDOWN: [100, "network is down"],
  ENETUNREACH: [101, "network is unreachable"],
  ECONNABORTED: [103, "connection aborted"],
  ECONNRESET: [104, "connection reset by peer"],
  ENOBUFS: [105, "no buffer space available"],
  EISCONN: [106, "already connected"],
  ENOTCONN: [107, "not connected"],
  ESHUTDOWN: [108, "cannot send after shutdown"],
  ETIMEDOUT: [110, "connection timed out"],
  ECONNREFUSED: [111, "connection refused"],
  EHOSTDOWN: [112, "host is down"],
  EHOSTUNREACH: [113, "no route to host"],
  EALREADY: [114, "operation already in progress"],
  EINPROGRESS: [115, "operation now in progress"],
  ECANCELED: [125, "operation canceled"],
};

/** Numbers by name. */
export const ERRNO: Readonly<Record<ErrnoName, number>> = Object.freeze(
  Object.fromEntries(Object.entries(TABLE).map(([name, [n]]) => [name, n])),
) as Readonly<Record<ErrnoName, number>>;

/** The name of a number, positive or negated; `E<number>` for one that is not in the list. */
export function errnoName(errno: number): string {
  const n = Math.abs(errno);
  for (const [name, [number]] of Object.entries(TABLE)) if (number === n) return name;
  return `E${n}`;
}

/** The sentence of a number, positive or negated. */
export function strerror(errno: number): string {
  const n = Math.abs(errno);
  for (const [number, text] of Object.values(TABLE)) if (number === n) return text;
  return `unknown error ${n}`;
}

/** For "did you mean": at most three of `names` that end like `name` does or are a few letters from it, nearest first. */
export function nearest(name: string, names: readonly string[]): string[] {
  const last = `.${name.split(".").at(-1)}`;
  const ranked = names.map((n) => ({ n, far: n.endsWith(last) ? 0 : editDistance(n, name) }));
  return ranked.filter(({ far }) => far <= 3).sort((a, b) => a.far - b.far).slice(0, 3).map(({ n }) => n);
}

/** Letters to insert, delete or change. Levenshtein, 1965. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}
