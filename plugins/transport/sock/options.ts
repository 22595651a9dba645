/**
 * SOL_SOCKET options. Linux: sk_setsockopt(), sk_getsockopt(), net/core/sock.c.
 *
 * @module
 */
import { ERRNO } from "../../../core/mod.ts";
import type { Sock } from "./contract.ts";
import { sockError } from "./queue.ts";
import {
  SO_BINDTODEVICE,
  SO_BINDTOIFINDEX,
  SO_BROADCAST,
  SO_DOMAIN,
  SO_ERROR,
  SO_MARK,
  SO_NO_CHECK,
  SO_PRIORITY,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SO_TYPE,
} from "./so.ts";
import { SOCK_MIN_RCVBUF, SOCK_MIN_SNDBUF, type SockState } from "./state.ts";

/** Sets an option; 0 or a negative errno. */
export function sockSetsockopt(st: SockState, sk: Sock, name: number, value: number): number {
  switch (name) {
    case SO_REUSEADDR:
      sk.reuseaddr = value !== 0;
      return 0;
    case SO_REUSEPORT:
      sk.reuseport = value !== 0;
      return 0;
    case SO_BROADCAST:
      sk.broadcast = value !== 0;
      return 0;
    case SO_NO_CHECK:
      sk.noCheckTx = value !== 0;
      return 0;
    case SO_SNDBUF:
      return setSndbuf(sk, clamp(value, st.wmemMax));
    case SO_SNDBUFFORCE:
      return setSndbuf(sk, clamp(value, 0x3fffffff));
    case SO_RCVBUF:
      return setRcvbuf(sk, clamp(value, st.rmemMax));
    case SO_RCVBUFFORCE:
      return setRcvbuf(sk, clamp(value, 0x3fffffff));
    case SO_PRIORITY:
      sk.owner.priority = value | 0;
      return 0;
    case SO_MARK:
      sk.owner.mark = value | 0;
      sk.dst = null;
      return 0;
    case SO_BINDTODEVICE:
    case SO_BINDTOIFINDEX:
      return bindToIfindex(st, sk, value);
    default:
      return -ERRNO.ENOPROTOOPT;
  }
}

/** As unsigned: a negative size asks for the most there is. */
function clamp(value: number, max: number): number {
  return Math.min(value >>> 0, max);
}

/** Twice what was asked for, as the accounting is by truesize: payload and overhead. */
function setRcvbuf(sk: Sock, value: number): number {
  sk.rcvbuf = Math.max(value * 2, SOCK_MIN_RCVBUF);
  return 0;
}

function setSndbuf(sk: Sock, value: number): number {
  sk.sndbuf = Math.max(value * 2, SOCK_MIN_SNDBUF);
  return 0;
}

function bindToIfindex(st: SockState, sk: Sock, ifindex: number): number {
  if (ifindex < 0) return -ERRNO.EINVAL;
  if (ifindex !== 0 && (st.net.devByIndex[ifindex] ?? null) === null) return -ERRNO.ENODEV;
  sk.boundDevIf = ifindex;
  sk.dst = null;
  return 0;
}

/** An option, or a negative errno. */
export function sockGetsockopt(sk: Sock, name: number): number {
  switch (name) {
    case SO_REUSEADDR:
      return sk.reuseaddr ? 1 : 0;
    case SO_REUSEPORT:
      return sk.reuseport ? 1 : 0;
    case SO_BROADCAST:
      return sk.broadcast ? 1 : 0;
    case SO_NO_CHECK:
      return sk.noCheckTx ? 1 : 0;
    case SO_TYPE:
      return sk.type;
    case SO_PROTOCOL:
      return sk.protocol;
    case SO_DOMAIN:
      return sk.family;
    case SO_ERROR:
      return pendingError(sk);
    case SO_SNDBUF:
      return sk.sndbuf;
    case SO_RCVBUF:
      return sk.rcvbuf;
    case SO_PRIORITY:
      return sk.owner.priority;
    case SO_MARK:
      // Unsigned: a negative value would be an errno.
      return sk.owner.mark >>> 0;
    case SO_BINDTODEVICE:
    case SO_BINDTOIFINDEX:
      return sk.boundDevIf;
    default:
      return -ERRNO.ENOPROTOOPT;
  }
}

/** A hard error, else the soft one; both are cleared by reading. */
function pendingError(sk: Sock): number {
  const err = -sockError(sk);
  if (err !== 0) return err;
  const soft = sk.errSoft;
  sk.errSoft = 0;
  return soft;
}
