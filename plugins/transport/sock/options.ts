/**
 * SOL_SOCKET options. Linux: sk_setsockopt(), sk_getsockopt(), net/core/sock.c.
 *
 * @module
 */
import { ERRNO } from "../../../core/mod.ts";
import {
  type Sock,
  SOCK_MIN_RCVBUF,
  SOCK_MIN_SNDBUF,
  SOCK_RCVBUF_LOCK,
  SOCK_SNDBUF_LOCK,
  SOCK_STREAM,
  TCP_CLOSE,
} from "./contract.ts";
import { sockError } from "./queue.ts";
import {
  SO_ACCEPTCONN,
  SO_BINDTODEVICE,
  SO_BINDTOIFINDEX,
  SO_BROADCAST,
  SO_DOMAIN,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_MARK,
  SO_MAX_PACING_RATE,
  SO_NO_CHECK,
  SO_OOBINLINE,
  SO_PRIORITY,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_RCVLOWAT,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SO_SNDLOWAT,
  SO_TIMESTAMPING,
  SO_TYPE,
  SO_ZEROCOPY,
  SOF_TIMESTAMPING_MASK,
  SOF_TIMESTAMPING_OPT_ID,
} from "./so.ts";
import type { SockState } from "./state.ts";

const TCP_LISTEN = 10;
/** A rate without bound, as four bytes tell it. */
const NO_RATE = 0xffffffff;

/** Sets an option; `value2`: the second word of one that has two. 0 or a negative errno. */
export function sockSetsockopt(st: SockState, sk: Sock, name: number, value: number, value2: number): number {
  switch (name) {
    case SO_REUSEADDR:
      sk.reuseaddr = value !== 0;
      return 0;
    case SO_REUSEPORT:
      sk.reuseport = value !== 0;
      return 0;
    case SO_KEEPALIVE:
      sk.keepopen = value !== 0;
      sk.ops.sockoptChanged?.(sk, name);
      return 0;
    case SO_OOBINLINE:
      sk.urginline = value !== 0;
      return 0;
    case SO_LINGER:
      sk.linger = value !== 0;
      if (sk.linger) sk.lingertime = value2 >>> 0;
      return 0;
    case SO_RCVLOWAT:
      sk.rcvlowat = value < 0 ? 0x7fffffff : value === 0 ? 1 : value;
      sk.ops.sockoptChanged?.(sk, name);
      return 0;
    case SO_BROADCAST:
      sk.broadcast = value !== 0;
      return 0;
    case SO_NO_CHECK:
      sk.noCheckTx = value !== 0;
      return 0;
    case SO_SNDBUF:
      return setSndbuf(sk, clamp(value, st.limits.wmemMax));
    case SO_SNDBUFFORCE:
      return setSndbuf(sk, clamp(value, 0x3fffffff));
    case SO_RCVBUF:
      return setRcvbuf(sk, clamp(value, st.limits.rmemMax));
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
    case SO_ZEROCOPY:
      if (sk.type !== SOCK_STREAM) return -ERRNO.EOPNOTSUPP;
      if (value !== 0 && value !== 1) return -ERRNO.EINVAL;
      sk.zerocopy = value === 1;
      return 0;
    case SO_TIMESTAMPING:
      return setTimestamping(sk, value);
    case SO_MAX_PACING_RATE:
      return setMaxPacingRate(sk, value < 0 ? value >>> 0 : value);
    default:
      return -ERRNO.ENOPROTOOPT;
  }
}

/** Linux: sock_set_timestamping(). Datagrams have no stamps here. */
function setTimestamping(sk: Sock, value: number): number {
  if (sk.type !== SOCK_STREAM) return -ERRNO.ENOPROTOOPT;
  if ((value & ~SOF_TIMESTAMPING_MASK) !== 0) return -ERRNO.EINVAL;
  const numbers = (value & SOF_TIMESTAMPING_OPT_ID) !== 0 && (sk.tsflags & SOF_TIMESTAMPING_OPT_ID) === 0;
  if (numbers && (sk.state === TCP_CLOSE || sk.state === TCP_LISTEN)) return -ERRNO.EINVAL;
  sk.tsflags = value;
  if (numbers) sk.ops.sockoptChanged?.(sk, SO_TIMESTAMPING);
  return 0;
}

/** What has no bound is not paced for it; what had one goes on to be. */
function setMaxPacingRate(sk: Sock, rate: number): number {
  sk.maxPacingRate = rate === NO_RATE ? -1 : rate;
  if (rate === NO_RATE) return 0;
  sk.pacing = true;
  sk.ops.sockoptChanged?.(sk, SO_MAX_PACING_RATE);
  return 0;
}

/** As unsigned: a negative size asks for the most there is. */
function clamp(value: number, max: number): number {
  return Math.min(value >>> 0, max);
}

/** Twice what was asked for, as the accounting is by truesize: payload and overhead. */
function setRcvbuf(sk: Sock, value: number): number {
  sk.userlocks |= SOCK_RCVBUF_LOCK;
  sk.rcvbuf = Math.max(value << 1, SOCK_MIN_RCVBUF);
  return 0;
}

function setSndbuf(sk: Sock, value: number): number {
  sk.userlocks |= SOCK_SNDBUF_LOCK;
  sk.sndbuf = Math.max(value << 1, SOCK_MIN_SNDBUF);
  if (sk.type === SOCK_STREAM) sk.ops.sockoptChanged?.(sk, SO_SNDBUF);
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
    case SO_KEEPALIVE:
      return sk.keepopen ? 1 : 0;
    case SO_OOBINLINE:
      return sk.urginline ? 1 : 0;
    case SO_LINGER:
      return sk.linger ? 1 + sk.lingertime : 0;
    case SO_RCVLOWAT:
      return sk.rcvlowat;
    case SO_SNDLOWAT:
      return 1;
    case SO_ACCEPTCONN:
      return sk.state === TCP_LISTEN ? 1 : 0;
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
    case SO_ZEROCOPY:
      return sk.zerocopy ? 1 : 0;
    case SO_TIMESTAMPING:
      return sk.tsflags;
    case SO_MAX_PACING_RATE:
      return sk.maxPacingRate < 0 ? NO_RATE : sk.maxPacingRate;
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
