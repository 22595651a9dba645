/**
 * System calls. A call is an *attempt*: it gives its result, or null where a blocking one has to wait; the runner tries
 * again whenever something may have changed.
 *
 * @module
 */
import { addressOf, exprText, fieldNumber, isNull, Mismatch, needArgs, numberOf, scalarOf } from "./args.ts";
import { Unsupported } from "./config.ts";
import { Conn } from "./conn.ts";
import { ERRNOS, NAMES, O_NONBLOCK, O_RDWR } from "./constants.ts";
import { type Bench, openSocket, type PipeFile, type SocketFile, socketOf, sockOf } from "./files.ts";
import { receiveMessage, sendBytes, sendMessage } from "./message.ts";
import { epollCreate, epollCtl, epollWait, poll } from "./poll.ts";
import type { CallLine } from "./script.ts";
import { IPPROTO_TCP, IPPROTO_UDP } from "./wire.ts";

/** One try: a result (a negative errno is a failure), or null: it would wait. */
export type Attempt = () => number | null;

const EBADF = -ERRNOS.EBADF;
const EAGAIN = -ERRNOS.EAGAIN;
const MSG_DONTWAIT = NAMES.MSG_DONTWAIT;
const TCP_SYN_SENT = 2;
const TCP_CLOSE = 7;

/** Begins a call. `expected` is the result that the line tells: the descriptor that a new one is called. */
export function beginCall(b: Bench, call: CallLine): Attempt {
  const begin = CALLS[call.name];
  if (begin === undefined) throw new Unsupported(`the system call ${call.name}()`);
  return begin(b, call);
}

/** The descriptor that the script gives to what a call makes; a name that is in use means the new one from here on. */
function newFd(call: CallLine): number {
  return call.result === null ? -1 : numberOf(call.result);
}

function socketArg(b: Bench, call: CallLine): SocketFile | null {
  needArgs(call, 1);
  return socketOf(b, numberOf(call.args[0]));
}

/** A call on a socket that gives its result at once. */
function onSocket(run: (b: Bench, file: SocketFile, call: CallLine) => number) {
  return (b: Bench, call: CallLine): Attempt => () => {
    const file = socketArg(b, call);
    return file === null ? EBADF : run(b, file, call);
  };
}

/** A call on a socket that may wait. */
function waiting(begin: (b: Bench, file: SocketFile, call: CallLine) => Attempt) {
  return (b: Bench, call: CallLine): Attempt => {
    const file = socketArg(b, call);
    return file === null ? () => EBADF : begin(b, file, call);
  };
}

const CALLS: Readonly<Record<string, (b: Bench, call: CallLine) => Attempt>> = {
  socket: (b, call) => () => socket(b, call),
  bind: onSocket((b, file, call) => {
    const to = addressOf(call.args[1], b.config.localIp, b.config.bindPort);
    if (to === null) return -ERRNOS.EAFNOSUPPORT;
    const rc = b.sys.bind(file.live, to.ip | 0, to.port);
    if (rc >= 0) {
      file.conn.localIp = b.config.localIp;
      file.conn.localPort = to.port;
    }
    return rc;
  }),
  listen: onSocket((b, file, call) => {
    const rc = b.sys.listen(file.live, numberOf(call.args[1]));
    if (rc >= 0) file.conn.state = "listening";
    return rc;
  }),
  accept: waiting((b, file, call) => () => accept(b, file, call, 0)),
  accept4: waiting((b, file, call) => () => accept(b, file, call, numberOf(call.args[3]))),
  connect: waiting(connect),
  read: (b, call) => {
    const other = b.files.get(numberOf(call.args[0]));
    if (other?.kind === "pipe") return () => readPipe(other.pipe, numberOf(call.args[2]));
    return waiting((bench, file, c) => receive(bench, file, numberOf(c.args[2]), 0, isNull(c.args[1])))(b, call);
  },
  recv: waiting((b, file, c) => receive(b, file, numberOf(c.args[2]), numberOf(c.args[3]), isNull(c.args[1]))),
  recvfrom: waiting((b, file, c) => receive(b, file, numberOf(c.args[2]), numberOf(c.args[3]), isNull(c.args[1]))),
  readv: waiting((b, file, c) => receive(b, file, iovTotal(c), 0, false)),
  recvmsg: waiting(receiveMessage),
  write: waiting((b, file, c) => sendBytes(b, file, numberOf(c.args[2]), 0, null, isNull(c.args[1]))),
  writev: waiting((b, file, c) => sendBytes(b, file, iovTotal(c), 0, null, false)),
  send: waiting((b, file, c) => sendBytes(b, file, numberOf(c.args[2]), numberOf(c.args[3]), null, isNull(c.args[1]))),
  sendto: waiting((b, file, c) =>
    sendBytes(b, file, numberOf(c.args[2]), numberOf(c.args[3]), c.args[4] ?? null, isNull(c.args[1]))
  ),
  sendmsg: waiting(sendMessage),
  close: (b, call) => () => close(b, numberOf(call.args[0])),
  shutdown: onSocket((b, file, call) => b.sys.shutdown(file.live, numberOf(call.args[1]))),
  fcntl: (b, call) => () => fcntl(b, call),
  ioctl: onSocket(ioctl),
  setsockopt: onSocket(setsockopt),
  getsockopt: onSocket(getsockopt),
  poll,
  epoll_create: epollCreate,
  epoll_create1: epollCreate,
  epoll_ctl: epollCtl,
  epoll_wait: epollWait,
  pipe: (b, call) => () => pipe(b, call),
  open: (b, call) => () => open(b, call),
  sendfile: (b, call) => sendfile(b, call),
  splice: (b, call) => splice(b, call),
};

/** The bytes that an iovec array names. */
function iovTotal(call: CallLine): number {
  const list = call.args[1];
  if (list?.kind !== "list") throw new Unsupported(`${call.name}() without a list of pieces`);
  return list.items.reduce((sum, item) => {
    const len = item.kind === "struct" ? item.fields.at(-1)?.value : undefined;
    return sum + numberOf(len);
  }, 0);
}

function socket(b: Bench, call: CallLine): number {
  needArgs(call, 3);
  const family = call.args[0].kind === "ellipsis" ? NAMES.AF_INET : numberOf(call.args[0]);
  const type = numberOf(call.args[1]);
  const protocol = numberOf(call.args[2]);
  const fd = newFd(call);
  const rc = b.sys.socket(family, type & 0xf, protocol);
  if (rc < 0) return rc;
  const conn = new Conn(protocol === 0 ? ((type & 0xf) === NAMES.SOCK_DGRAM ? IPPROTO_UDP : IPPROTO_TCP) : protocol);
  b.conns.push(conn);
  b.underTest = conn;
  openSocket(b, fd, rc, conn, type & O_NONBLOCK);
  return fd;
}

function accept(b: Bench, file: SocketFile, call: CallLine, flags: number): number | null {
  const fd = newFd(call);
  const rc = b.sys.accept(file.live);
  if (rc === EAGAIN && (file.flags & O_NONBLOCK) === 0) return null;
  if (rc < 0) return rc;
  const peer = { addr: 0, port: 0 };
  const sk = b.sys.sock(rc);
  if (b.sys.getpeername(rc, peer) < 0 && sk !== null) {
    peer.addr = sk.daddr;
    peer.port = sk.dport;
  }
  const conn = b.conns.find((c) => c.fd < 0 && c.remotePort === peer.port && c.remoteIp === peer.addr >>> 0);
  if (conn === undefined) throw new Mismatch("accept() gave a connection that the script did not make");
  openSocket(b, fd, rc, conn, flags);
  return fd;
}

/** Not before the socket is bound does it have an address; its port is seen when it sends. */
function connect(b: Bench, file: SocketFile, call: CallLine): Attempt {
  const to = addressOf(call.args[1], b.config.remoteIp, b.config.connectPort);
  if (to === null) return () => b.sys.disconnect(file.live);
  const conn = file.conn;
  const idle = conn.protocol === IPPROTO_TCP && sockOf(b, file)?.state === TCP_CLOSE;
  if (conn.state === "new" || (idle && conn.state !== "connecting")) conn.connects(to.ip, to.port);
  let begun = false;
  return () => {
    const sk = sockOf(b, file);
    if (begun && sk !== null && sk.state === TCP_SYN_SENT) return null;
    if (begun) {
      const err = b.sys.getsockopt(file.live, NAMES.SOL_SOCKET, NAMES.SO_ERROR);
      if (err !== 0) return -Math.abs(err);
    }
    const rc = b.sys.connect(file.live, to.ip | 0, to.port);
    if (begun) return rc === -ERRNOS.EISCONN ? 0 : rc;
    if (conn.protocol === IPPROTO_UDP && rc === 0) conn.state = "open";
    begun = true;
    return rc === -ERRNOS.EINPROGRESS && (file.flags & O_NONBLOCK) === 0 ? null : rc;
  };
}

function receive(b: Bench, file: SocketFile, len: number, flags: number, noBuffer: boolean): Attempt {
  if (noBuffer && len > 0) return () => -ERRNOS.EFAULT;
  const buf = new Uint8Array(len);
  const waits = (file.flags & O_NONBLOCK) === 0 && (flags & MSG_DONTWAIT) === 0;
  let done = 0;
  return () => {
    const msg = { addr: 0, port: 0, buf, off: done, len: len - done, flags: 0 };
    const rc = b.sys.recvmsg(file.live, msg, flags & ~NAMES.MSG_WAITALL);
    if (rc === EAGAIN && waits) return null;
    if (rc < 0) return done > 0 ? done : rc;
    done += rc;
    if ((flags & NAMES.MSG_WAITALL) !== 0 && done < len && rc > 0) return null;
    return done;
  };
}

function close(b: Bench, fd: number): number {
  const file = b.files.get(fd);
  if (file === undefined) return EBADF;
  b.files.delete(fd);
  if (file.kind === "pipe") file.writes ? file.pipe.writers-- : file.pipe.readers--;
  if (file.kind === "epoll") { for (const item of file.items.values()) b.sys.onReady(item.live, null); }
  if (file.kind !== "socket") return 0;
  for (const other of b.files.values()) if (other.kind === "epoll") other.items.delete(fd);
  file.conn.fd = -1;
  return b.sys.close(file.live);
}

function fcntl(b: Bench, call: CallLine): number {
  const file = b.files.get(numberOf(call.args[0]));
  if (file === undefined) return EBADF;
  const command = numberOf(call.args[1]);
  if (file.kind !== "socket") throw new Unsupported(`fcntl() of a ${file.kind}`);
  if (command === NAMES.F_GETFL) return file.flags;
  if (command !== NAMES.F_SETFL) throw new Unsupported(`fcntl() command ${command}`);
  file.flags = O_RDWR | (numberOf(call.args[2]) & O_NONBLOCK);
  return 0;
}

function ioctl(b: Bench, file: SocketFile, call: CallLine): number {
  const request = numberOf(call.args[1]);
  const sk = sockOf(b, file);
  if (sk === null) return EBADF;
  let value: number;
  if (b.tcp?.ioctl !== undefined) value = b.tcp.ioctl(sk, request);
  else if (request === NAMES.SIOCINQ) value = readable(b, file);
  else throw new Unsupported(`ioctl() ${exprText(call.args[1])}: TCP has no ioctl`);
  if (value < 0) return value;
  const expected = scalarOf(call.args[2]);
  if (value !== expected) throw new Mismatch(`${exprText(call.args[1])} is ${value}, not ${expected}`);
  return 0;
}

/** Bytes that a read would give: what SIOCINQ tells of a stream. */
function readable(b: Bench, file: SocketFile): number {
  const len = 1 << 24;
  const msg = { addr: 0, port: 0, buf: new Uint8Array(len), off: 0, len, flags: 0 };
  const rc = b.sys.recvmsg(file.live, msg, NAMES.MSG_PEEK);
  return rc === EAGAIN ? 0 : rc;
}

function setsockopt(b: Bench, file: SocketFile, call: CallLine): number {
  needArgs(call, 4);
  const level = numberOf(call.args[1]);
  const name = numberOf(call.args[2]);
  const value = call.args[3];
  if (value.kind === "bytes") {
    const sk = sockOf(b, file);
    if (sk?.ops.setsockoptString === undefined) {
      throw new Unsupported(`setsockopt(${exprText(call.args[2])}) with bytes`);
    }
    const len = call.args[4] === undefined ? value.value.length : numberOf(call.args[4]);
    return b.machine.batch(() =>
      sk.ops.setsockoptString!(sk, level, name, value.value.slice(0, len).padEnd(len, "\0"))
    );
  }
  if (value.kind === "struct") {
    if (name === NAMES.SO_LINGER && level === NAMES.SOL_SOCKET) {
      return b.sys.setsockopt(file.live, level, name, fieldNumber(value, "onoff", 0), fieldNumber(value, "linger", 0));
    }
    throw new Unsupported(`setsockopt(${exprText(call.args[2])}) with a struct`);
  }
  if (isNull(value)) return -ERRNOS.EFAULT;
  return b.sys.setsockopt(file.live, level, name, scalarOf(value) | 0);
}

function getsockopt(b: Bench, file: SocketFile, call: CallLine): number {
  needArgs(call, 4);
  const level = numberOf(call.args[1]);
  const name = numberOf(call.args[2]);
  const rc = b.sys.getsockopt(file.live, level, name);
  const value = call.args[3];
  if (value.kind === "ellipsis") return rc < 0 ? rc : 0;
  if (value.kind === "struct" && name === NAMES.SO_LINGER && level === NAMES.SOL_SOCKET) {
    if (rc < 0) return rc;
    const [onoff, linger] = [rc === 0 ? 0 : 1, Math.max(0, rc - 1)];
    if (onoff !== fieldNumber(value, "onoff", onoff)) throw new Mismatch(`SO_LINGER's onoff is ${onoff}`);
    if (linger !== fieldNumber(value, "linger", linger)) throw new Mismatch(`SO_LINGER's linger is ${linger}`);
    return 0;
  }
  const sk = sockOf(b, file);
  if (value.kind === "bytes" && sk?.ops.getsockoptString !== undefined) {
    const text = b.machine.batch(() => sk.ops.getsockoptString!(sk, level, name));
    if (typeof text === "number") return text;
    if (text === value.value) return 0;
    throw new Mismatch(`${exprText(call.args[2])} is ${JSON.stringify(text)}, not ${exprText(value)}`);
  }
  if (value.kind === "struct" || value.kind === "bytes") {
    throw new Unsupported(`getsockopt(${exprText(call.args[2])}) of a ${value.kind}`);
  }
  const expected = scalarOf(value);
  if ((rc | 0) === (expected | 0)) return 0;
  // An option that is an errno is positive; a failure is not.
  if (rc < 0 && call.errno !== "") return rc;
  throw new Mismatch(`${exprText(call.args[2])} is ${rc}, not ${exprText(value)}`);
}

function readPipe(pipe: { bytes: number; writers: number }, len: number): number | null {
  if (pipe.bytes === 0) return pipe.writers === 0 ? 0 : null;
  const n = Math.min(pipe.bytes, len);
  pipe.bytes -= n;
  return n;
}

function pipe(b: Bench, call: CallLine): number {
  const list = call.args[0];
  if (list?.kind !== "list" || list.items.length !== 2) throw new Unsupported("pipe() without two descriptors");
  const [reads, writes] = list.items.map((i) => numberOf(i));
  const shared = { bytes: 0, readers: 1, writers: 1 };
  b.files.set(reads, { kind: "pipe", pipe: shared, writes: false });
  b.files.set(writes, { kind: "pipe", pipe: shared, writes: true });
  return 0;
}

function open(b: Bench, call: CallLine): number {
  const path = call.args[0];
  if (path?.kind !== "bytes") throw new Unsupported("open() without a name");
  const size = b.disk.get(path.value);
  if (size === undefined) return -ERRNOS.ENOENT;
  const fd = newFd(call);
  b.files.set(fd, { kind: "file", size, pos: 0 });
  return fd;
}

/** Linux: do_sendfile(). The file is full of zeros. */
function sendfile(b: Bench, call: CallLine): Attempt {
  const out = socketOf(b, numberOf(call.args[0]));
  const file = b.files.get(numberOf(call.args[1]));
  if (out === null || file === undefined) return () => EBADF;
  if (file.kind !== "file") throw new Unsupported(`sendfile() from a ${file.kind}`);
  const from = isNull(call.args[2]) ? file.pos : scalarOf(call.args[2]);
  const len = Math.min(numberOf(call.args[3]), Math.max(0, file.size - from));
  return sendBytes(b, out, len, 0, null, false);
}

/** From a pipe into a socket. Linux: splice_to_socket(). What the socket does not take stays in the pipe. */
function spliceOut(b: Bench, from: PipeFile, to: SocketFile, call: CallLine): Attempt {
  const len = numberOf(call.args[4]);
  const flags = call.args[5] === undefined ? 0 : numberOf(call.args[5]);
  let attempt: Attempt | null = null;
  return () => {
    if (attempt === null) {
      if (from.pipe.bytes === 0) {
        if (from.pipe.writers === 0) return 0;
        return (flags & NAMES.SPLICE_F_NONBLOCK) !== 0 ? EAGAIN : null;
      }
      const more = (flags & NAMES.SPLICE_F_MORE) !== 0 || from.pipe.bytes > len ? NAMES.MSG_MORE : 0;
      attempt = sendBytes(b, to, Math.min(len, from.pipe.bytes), more, null, false);
    }
    const rc = attempt();
    if (rc !== null && rc > 0) from.pipe.bytes -= rc;
    return rc;
  };
}

/** Linux: tcp_splice_read(): it stops before urgent data, and does not wait there. */
function splice(b: Bench, call: CallLine): Attempt {
  const source = b.files.get(numberOf(call.args[0]));
  const sink = b.files.get(numberOf(call.args[2]));
  if (source?.kind === "pipe" && sink?.kind === "socket") return spliceOut(b, source, sink, call);
  const from = socketOf(b, numberOf(call.args[0]));
  const to = b.files.get(numberOf(call.args[2]));
  if (from === null || to === undefined) return () => EBADF;
  if (to.kind !== "pipe") throw new Unsupported(`splice() into a ${to.kind}`);
  const attempt = receive(b, from, numberOf(call.args[4]), 0, false);
  return () => {
    const rc = attempt();
    if (rc === null && (b.sys.poll(from.live) & NAMES.POLLPRI) !== 0) return 0;
    if (rc !== null && rc > 0) to.pipe.bytes += rc;
    return rc;
  };
}
