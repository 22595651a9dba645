/**
 * poll(2) and epoll(7) over the stack's poll bits and its wake-ups. Linux: fs/select.c, fs/eventpoll.c.
 *
 * @module
 */
import { fieldNumber, fieldOf, Mismatch, numberOf } from "./args.ts";
import { Unsupported } from "./config.ts";
import { ERRNOS, NAMES } from "./constants.ts";
import { type Bench, type EpollItem, socketOf } from "./files.ts";
import type { CallLine, Expr } from "./script.ts";

type Attempt = () => number | null;

const ALWAYS = NAMES.POLLERR | NAMES.POLLHUP;
const EPOLLET = NAMES.EPOLLET;
const ONESHOT = NAMES.EPOLLONESHOT;
/** Readiness bits of an event mask. */
const BITS = 0xffff;

/** Names of poll bits, for messages. */
function bitsText(bits: number): string {
  const names = ["POLLIN", "POLLPRI", "POLLOUT", "POLLERR", "POLLHUP", "POLLNVAL", "POLLRDHUP"];
  const out = names.filter((n) => (bits & NAMES[n]) !== 0);
  return out.length === 0 ? "0" : out.join("|");
}

/** Gives a time at which an attempt is to be made although nothing happened, ns of the machine's clock. */
export interface Deadline {
  /** Infinity: none. */
  deadline?: number;
}

/** poll(2) with revents compared. */
export function poll(b: Bench, call: CallLine): Attempt {
  const list = call.args[0];
  if (list?.kind !== "list") throw new Unsupported("poll() without a list");
  const timeout = numberOf(call.args[2]);
  const deadline = timeout < 0 ? Infinity : b.machine.now + timeout * 1e6;
  const attempt: Attempt & Deadline = () => {
    const revents = list.items.map((item) => ready(b, item));
    const n = revents.filter((bits) => bits !== 0).length;
    if (n === 0 && b.machine.now < deadline) return null;
    list.items.forEach((item, i) => {
      const expected = fieldNumber(item, "revents", 0);
      if (fieldOf(item, "revents") !== undefined && revents[i] !== expected) {
        throw new Mismatch(`revents is ${bitsText(revents[i])}, not ${bitsText(expected)}`);
      }
    });
    return n;
  };
  attempt.deadline = deadline;
  return attempt;
}

function ready(b: Bench, item: Expr): number {
  const file = socketOf(b, fieldNumber(item, "fd", -1));
  if (file === null) return NAMES.POLLNVAL;
  return b.sys.poll(file.live) & (fieldNumber(item, "events", 0) | ALWAYS);
}

/** epoll_create(2). */
export function epollCreate(b: Bench, call: CallLine): Attempt {
  return () => {
    const fd = call.result === null ? -1 : numberOf(call.result);
    b.files.set(fd, { kind: "epoll", items: new Map() });
    return fd;
  };
}

/** epoll_ctl(2). */
export function epollCtl(b: Bench, call: CallLine): Attempt {
  return () => {
    const set = b.files.get(numberOf(call.args[0]));
    const fd = numberOf(call.args[2]);
    const file = socketOf(b, fd);
    if (set === undefined || file === null) return -ERRNOS.EBADF;
    if (set.kind !== "epoll") return -ERRNOS.EINVAL;
    const item = set.items.get(fd);
    const operation = numberOf(call.args[1]);
    if (operation === NAMES.EPOLL_CTL_DEL) {
      if (item === undefined) return -ERRNOS.ENOENT;
      b.sys.onReady(file.live, null);
      set.items.delete(fd);
      return 0;
    }
    const event = call.args[3];
    const events = fieldNumber(event, "events", 0);
    if (operation === NAMES.EPOLL_CTL_ADD) {
      if (item !== undefined) return -ERRNOS.EEXIST;
      const made: EpollItem = {
        fd,
        live: file.live,
        events,
        data: fieldNumber(event, "fd", fieldNumber(event, "ptr", fd)),
        bits: 0,
        fresh: true,
        spent: false,
        errors: 0,
        readable: 0,
      };
      set.items.set(fd, made);
      look(b, made);
      b.sys.onReady(file.live, () => woken(b, made));
      return 0;
    }
    if (operation !== NAMES.EPOLL_CTL_MOD) return -ERRNOS.EINVAL;
    if (item === undefined) return -ERRNOS.ENOENT;
    item.events = events;
    item.spent = false;
    // What is ready already counts as new after a change. Linux: ep_modify().
    item.fresh = true;
    look(b, item);
    return 0;
  };
}

/** Remembers what is ready, to tell what is new at the next wake-up. */
function look(b: Bench, item: EpollItem): void {
  const sk = b.sys.sock(item.live);
  item.bits = b.sys.poll(item.live);
  item.errors = sk === null ? 0 : sk.errorQueue.qlen;
  item.readable = sk?.rmemAlloc ?? 0;
}

/**
 * A wake-up. The kernel's carries what it is about, ours does not: it counts when a bit that the item waits for has come,
 * or when more bytes or more errors wait. Linux: ep_poll_callback().
 */
function woken(b: Bench, item: EpollItem): void {
  const { bits, errors, readable } = item;
  look(b, item);
  const wanted = (item.events & BITS) | ALWAYS;
  const came = item.bits & ~bits & wanted;
  const bytes = (wanted & NAMES.EPOLLIN) !== 0 && item.readable > readable;
  // An error that joined one that waits is told again.
  const error = item.errors > errors || (item.bits & NAMES.POLLERR) !== 0;
  if (came !== 0 || bytes || error) item.fresh = true;
}

/** epoll_wait(2) with the events compared. */
export function epollWait(b: Bench, call: CallLine): Attempt {
  const timeout = numberOf(call.args[3]);
  const deadline = timeout < 0 ? Infinity : b.machine.now + timeout * 1e6;
  const attempt: Attempt & Deadline = () => {
    const set = b.files.get(numberOf(call.args[0]));
    if (set === undefined) return -ERRNOS.EBADF;
    if (set.kind !== "epoll") return -ERRNOS.EINVAL;
    const found: { item: EpollItem; bits: number }[] = [];
    for (const item of set.items.values()) {
      if (item.spent) continue;
      const bits = b.sys.poll(item.live) & ((item.events & BITS) | ALWAYS);
      const edge = Math.floor(item.events / EPOLLET) % 2 === 1;
      if (bits === 0 || (edge && !item.fresh)) continue;
      found.push({ item, bits });
    }
    if (found.length === 0 && b.machine.now < deadline) return null;
    for (const { item } of found) {
      item.fresh = false;
      if ((item.events & ONESHOT) !== 0) item.spent = true;
      look(b, item);
    }
    checkEvents(call.args[1], found);
    return found.length;
  };
  attempt.deadline = deadline;
  return attempt;
}

function checkEvents(expected: Expr | undefined, found: readonly { item: EpollItem; bits: number }[]): void {
  const list = expected?.kind === "list" ? expected.items : expected === undefined ? [] : [expected];
  list.forEach((want, i) => {
    if (want.kind !== "struct") return;
    const events = fieldNumber(want, "events", 0);
    const have = found[i]?.bits ?? 0;
    if (events !== have) throw new Mismatch(`events are ${bitsText(have)}, not ${bitsText(events)}`);
    const fd = fieldOf(want, "fd");
    if (fd !== undefined && found[i] !== undefined && found[i].item.data !== numberOf(fd.value)) {
      throw new Mismatch(`the event is of descriptor ${found[i].item.data}`);
    }
  });
}
