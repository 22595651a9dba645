/**
 * Sending and receiving messages, with what stands in their control data.
 *
 * @module
 */
import type { SockExtendedErr } from "../../transport/sock/contract.ts";
import { addressOf, exprText, fieldNumber, fieldOf, Mismatch, numberOf, scalarOf } from "./args.ts";
import { Unsupported } from "./config.ts";
import { ERRNOS, NAMES, O_NONBLOCK } from "./constants.ts";
import { type Bench, type SocketFile, sockOf } from "./files.ts";
import type { CallLine, Expr } from "./script.ts";
import type { ControlMessage, ScriptMsg } from "./tcp_api.ts";
import { IPPROTO_UDP } from "./wire.ts";

type Attempt = () => number | null;

const EAGAIN = -ERRNOS.EAGAIN;
const EINPROGRESS = -ERRNOS.EINPROGRESS;
const TCP_SYN_SENT = 2;

/**
 * Sends `len` zeros. A blocking socket goes on until all is taken; one that Fast Open connects waits for the handshake
 * first. Linux: tcp_sendmsg_locked(), tcp_sendmsg_fastopen().
 */
export function sendBytes(
  b: Bench,
  file: SocketFile,
  len: number,
  flags: number,
  to: Expr | null,
  noBuffer: boolean,
  iov?: readonly number[],
): Attempt {
  if (noBuffer && len > 0) return () => -ERRNOS.EFAULT;
  const buf = new Uint8Array(len);
  const waits = (file.flags & O_NONBLOCK) === 0 && (flags & NAMES.MSG_DONTWAIT) === 0;
  const peer = to === null ? { ip: 0, port: 0 } : addressOf(to, b.config.remoteIp, b.config.connectPort);
  // Fast Open to AF_UNSPEC: the address family is what the call fails for.
  if (peer === null) return () => -ERRNOS.EOPNOTSUPP;
  if (to !== null && (flags & NAMES.MSG_FASTOPEN) !== 0) startConnect(file, peer);
  if (file.conn.protocol === IPPROTO_UDP && to !== null) startConnect(file, peer);
  let done = 0;
  let connecting = false;
  let full = false;
  const attempt: Attempt = () => {
    // A writer that found the buffer full sleeps until it is writeable, not until the next byte fits.
    if (full && (b.sys.poll(file.live) & (NAMES.POLLOUT | NAMES.POLLERR | NAMES.POLLHUP)) === 0) return null;
    for (;;) {
      full = false;
      if (connecting) {
        const sk = sockOf(b, file);
        if (sk !== null && sk.state === TCP_SYN_SENT) return null;
        connecting = false;
        const err = b.sys.getsockopt(file.live, NAMES.SOL_SOCKET, NAMES.SO_ERROR);
        if (err !== 0) return -Math.abs(err);
        flags &= ~NAMES.MSG_FASTOPEN;
        if (done >= len) return done;
      }
      const msg: ScriptMsg = { addr: peer.ip | 0, port: peer.port, buf, off: done, len: len - done, flags: 0 };
      if (iov !== undefined && done === 0) msg.iov = iov;
      const rc = b.sys.sendmsg(file.live, msg, flags);
      const synSent = sockOf(b, file)?.state === TCP_SYN_SENT;
      if (file.conn.state === "new" && synSent) {
        startConnect(file, { ip: b.config.remoteIp, port: b.config.connectPort });
      }
      if (rc === EINPROGRESS && waits) {
        connecting = true;
        continue;
      }
      if (rc === EAGAIN && waits) {
        full = !synSent;
        return null;
      }
      if (rc < 0) return done > 0 ? done : rc;
      done += rc;
      if (waits && synSent) {
        connecting = true;
        continue;
      }
      if (done >= len || !waits || rc === 0) return done;
      full = true;
      return null;
    }
  };
  return () => {
    const rc = attempt();
    // The ACK of a SYN-ACK waits for the data of a writer that waits for the connection.
    const sk = sockOf(b, file);
    if (sk !== null) sk.writePending = rc === null && connecting && done < len ? 1 : 0;
    return rc;
  };
}

/** The socket goes to a peer now: its first packet tells its port. */
function startConnect(file: SocketFile, peer: { ip: number; port: number }): void {
  if (file.conn.state === "new" && peer.port !== 0) file.conn.connects(peer.ip, peer.port);
}

/** The lengths of msg_iov. */
function iovOf(msg: Expr | undefined): number[] {
  const field = fieldOf(msg, "msg_iov");
  if (field === undefined) return [];
  if (field.value.kind !== "list") throw new Unsupported("msg_iov that is no list");
  return field.value.items.map((item) => {
    if (item.kind !== "struct") throw new Unsupported("a piece of msg_iov that is no struct");
    return numberOf(item.fields.at(-1)?.value);
  });
}

/** sendmsg(2). */
export function sendMessage(b: Bench, file: SocketFile, call: CallLine): Attempt {
  const msg = call.args[1];
  const iov = iovOf(msg);
  if (fieldOf(msg, "msg_control") !== undefined) throw new Unsupported("sendmsg() with control data");
  const name = fieldOf(msg, "msg_name");
  const flags = numberOf(call.args[2]);
  const to = (flags & NAMES.MSG_FASTOPEN) !== 0 || file.conn.protocol === IPPROTO_UDP ? name?.value ?? null : null;
  return sendBytes(b, file, iov.reduce((a, n) => a + n, 0), flags, to, false, iov);
}

/** recvmsg(2): the result, the flags and every control message must be what the line says. */
export function receiveMessage(b: Bench, file: SocketFile, call: CallLine): Attempt {
  const line = call.args[1];
  const flags = numberOf(call.args[2]);
  const len = iovOf(line).reduce((a, n) => a + n, 0);
  const waits = (file.flags & O_NONBLOCK) === 0 && (flags & (NAMES.MSG_DONTWAIT | NAMES.MSG_ERRQUEUE)) === 0;
  return () => {
    const err: SockExtendedErr = { errno: 0, origin: 0, type: 0, code: 0, info: 0, offender: 0 };
    const msg: ScriptMsg = { addr: 0, port: 0, buf: new Uint8Array(len), off: 0, len, flags: 0, control: [] };
    msg.inq = -1;
    if ((flags & NAMES.MSG_ERRQUEUE) !== 0) msg.err = err;
    const rc = b.sys.recvmsg(file.live, msg, flags);
    if (rc === EAGAIN && waits) return null;
    if (rc < 0) return rc;
    const wantFlags = fieldOf(line, "msg_flags");
    if (wantFlags !== undefined && wantFlags.value.kind !== "ellipsis") {
      const expected = scalarOf(wantFlags.value);
      if (msg.flags !== expected) {
        throw new Mismatch(`msg_flags is 0x${msg.flags.toString(16)}, not 0x${expected.toString(16)}`);
      }
    }
    const control = fieldOf(line, "msg_control");
    if (control !== undefined) checkControl(b, control.value, controlOf(msg, flags));
    return rc;
  };
}

/** The control messages, also of a stack that gives them in fields of the message. */
function controlOf(msg: ScriptMsg, flags: number): readonly ControlMessage[] {
  if (msg.control !== undefined && msg.control.length > 0) return msg.control;
  const out: ControlMessage[] = [];
  if (msg.tstamp !== undefined) out.push({ level: 1, type: NAMES.SCM_TIMESTAMPING, data: { tstamp: msg.tstamp } });
  const err = msg.err;
  if ((flags & NAMES.MSG_ERRQUEUE) !== 0 && err !== undefined && err.origin !== 0) {
    const extra = err as SockExtendedErr & { data?: number };
    out.push({
      level: 0,
      type: NAMES.IP_RECVERR,
      data: {
        ee_errno: err.errno,
        ee_origin: err.origin,
        ee_type: err.type,
        ee_code: err.code,
        ee_info: err.info,
        ee_data: extra.data ?? 0,
      },
    });
  }
  if (msg.inq !== undefined && msg.inq >= 0) out.push({ level: 6, type: NAMES.TCP_CM_INQ, data: { value: msg.inq } });
  return out;
}

function checkControl(b: Bench, expected: Expr, actual: readonly ControlMessage[]): void {
  if (expected.kind === "ellipsis") return;
  if (expected.kind !== "list") throw new Unsupported("msg_control that is no list");
  if (expected.items.length !== actual.length) {
    throw new Mismatch(
      `${actual.length} control messages (${actual.map(controlText).join("; ")}), not ${expected.items.length}`,
    );
  }
  expected.items.forEach((item, i) => {
    const message = actual[i];
    const level = fieldNumber(item, "cmsg_level", message.level);
    const type = fieldNumber(item, "cmsg_type", message.type);
    if (level !== message.level || type !== message.type) {
      throw new Mismatch(`control message ${controlText(message)}, not of level ${level} and type ${type}`);
    }
    const data = fieldOf(item, "cmsg_data");
    if (data !== undefined) checkData(b, data.value, message);
  });
}

function checkData(b: Bench, expected: Expr, message: ControlMessage): void {
  if (expected.kind !== "struct") {
    const want = scalarOf(expected);
    if (message.data.value !== want) throw new Mismatch(`${controlText(message)}, not ${want}`);
    return;
  }
  if (fieldOf(expected, "scm_sec") !== undefined || fieldOf(expected, "scm_nsec") !== undefined) {
    const want = fieldNumber(expected, "scm_sec", 0) * 1e9 + fieldNumber(expected, "scm_nsec", 0);
    const have = (message.data.tstamp ?? -1) - b.startNs;
    if (message.data.tstamp === undefined || Math.abs(have - want) > b.config.toleranceUsecs * 1000) {
      throw new Mismatch(`time stamp ${have / 1000} usec, not ${want / 1000}`);
    }
    return;
  }
  for (const field of expected.fields) {
    if (field.value.kind === "ellipsis") continue;
    const want = scalarOf(field.value);
    const have = message.data[field.name];
    if (have === undefined) throw new Mismatch(`no ${field.name} in ${controlText(message)}`);
    if ((have | 0) !== (want | 0)) throw new Mismatch(`${field.name} is ${have}, not ${exprText(field.value)}`);
  }
}

function controlText(m: ControlMessage): string {
  const data = Object.entries(m.data).map(([k, v]) => `${k}=${v}`).join(" ");
  return `{level=${m.level} type=${m.type} ${data}}`;
}
