/**
 * The interrupt controller of real devices: one poll(2) for all of them.
 *
 * While nothing happens one `poll` is parked in a thread of Deno's blocking pool, over all descriptors and an eventfd.
 * (The pool has 32 threads: one call per device would starve file reads.) When it returns, the poller looks again from
 * `setImmediate` turns, as NAPI's busy polling does, until `busyPoll` microseconds passed without an event; a turn takes
 * at most a millisecond, so that the user's own callbacks get their share. Then it parks again.
 *
 * There is one per process and copy of JavaScript's global object, whatever the number of machines and of copies of this
 * package. It is made with the first device and goes with the last.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import { HostBuffer, Libc, POLLIN } from "./ffi.ts";
import { LinkMonitor } from "./links.ts";
import { callsAreDear, Uring } from "./uring.ts";

/** Something with a descriptor. */
export interface PollSource {
  /** The descriptor. */
  readonly fd: number;
  /** POLL* bits that interrupt; 0: none. */
  events: number;
  /** NAPI polls it: the poller comes back soon instead of parking. */
  masked: boolean;
  /** Time to look again after an event, in microseconds; 0: park at once. */
  readonly busyPoll: number;
  /** One or more of the events are there. */
  ready(revents: number): void;
}

const KEY = Symbol.for("netpath:host-poller:1");
const TURN_MS = 1;
const EFD_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000;

/** Where the one poller is registered. */
interface Registry {
  [KEY]?: HostPoller;
}

/** The process's poller; made when there is none. `what` begins the message when it cannot be. */
export function hostPoller(what: string): HostPoller {
  const registry = globalThis as Registry;
  return registry[KEY] ??= new HostPoller(what);
}

/** See {@linkcode hostPoller}. */
export class HostPoller {
  /** The C library. */
  readonly libc: Libc;
  /** What the kernel says about its interfaces. */
  readonly links: LinkMonitor;
  /** Times that a poll was parked. */
  parks = 0;
  /** Times that the poller looked from a turn of the event loop. */
  turns = 0;
  readonly #sources: PollSource[] = [];
  readonly #eventfd: number;
  readonly #one: HostBuffer;
  #parkFds: HostBuffer;
  #turnFds: HostBuffer;
  /** A poll is parked. */
  #parked = false;
  /** A turn is due. */
  #turning = false;
  #closed = false;
  #devices = 0;
  #last = 0;
  /** One ring for all devices: undefined until one wants it, null where there is none. */
  #uring: Uring | null | undefined;
  #dear: boolean | undefined;
  #waiting: (() => void)[] = [];

  /** Use {@linkcode hostPoller}. */
  constructor(what: string) {
    // First of all: it says which permission is missing.
    this.libc = new Libc(what);
    this.#one = new HostBuffer(8);
    this.#parkFds = new HostBuffer(64);
    this.#turnFds = new HostBuffer(64);
    this.#eventfd = this.libc.sys.eventfd(0, EFD_NONBLOCK_CLOEXEC);
    this.#one.words[0] = 1;
    this.links = new LinkMonitor(this.libc);
    if (this.links.fd >= 0) this.#sources.push(this.links);
  }

  /** Devices that it serves. */
  get size(): number {
    return this.#devices;
  }

  /** The ring of the process; `wanted` undefined: where it pays. Null: not wanted, or the kernel has none. */
  uring(wanted: boolean | undefined): Uring | null {
    if (wanted === undefined) wanted = this.#dear ??= callsAreDear(this.libc);
    if (!wanted) return null;
    return this.#uring === undefined ? this.#uring = Uring.open(this.libc) : this.#uring;
  }

  /** Begins to serve a source. */
  add(source: PollSource): void {
    this.#sources.push(source);
    this.#devices++;
    this.#again();
  }

  /** Ends it, and closes its descriptor when no poll uses it any more. The last one ends the poller. */
  async remove(source: PollSource): Promise<void> {
    const fd = source.fd;
    const at = this.#sources.indexOf(source);
    if (at < 0) return;
    this.#sources.splice(at, 1);
    if (this.#parked) {
      await new Promise<void>((done) => {
        this.#waiting.push(done);
        this.#kick();
      });
    }
    this.libc.sys.close(fd);
    this.#devices--;
    this.release();
  }

  /** Ends the poller when it has no device. Call it when a device could not be opened. */
  release(): void {
    if (this.#devices > 0 || this.#parked || this.#closed) return;
    this.#closed = true;
    this.#uring?.close();
    if (this.links.fd >= 0) this.libc.sys.close(this.links.fd);
    this.libc.sys.close(this.#eventfd);
    this.libc.close();
    const registry = globalThis as Registry;
    if (registry[KEY] === this) delete registry[KEY];
  }

  /** A source's `events` changed. */
  update(): void {
    if (this.#parked) this.#kick();
  }

  /** No device is left to look at. */
  get #idle(): boolean {
    return this.#sources.length === (this.links.fd >= 0 ? 1 : 0);
  }

  /** Makes sure that a turn follows. */
  #again(): void {
    if (this.#parked) this.#kick();
    else if (!this.#turning) {
      this.#turning = true;
      setImmediate(this.#turn);
    }
  }

  #kick(): void {
    this.libc.sys.write(this.#eventfd, this.#one.pointer, 8);
  }

  #turn = (): void => {
    this.#turning = false;
    if (this.#closed || this.#parked || this.#idle) return;
    this.turns++;
    const start = performance.now();
    let now = start;
    try {
      while (this.#look()) {
        now = performance.now();
        this.#last = now;
        if (now - start >= TURN_MS) break;
      }
    } finally {
      // What a strict machine throws from here must not stop the other devices.
      if (!this.#idle) this.#next(now);
    }
  };

  /** Looks again soon, or parks. */
  #next(now: number): void {
    if (this.#wantsTurn(now)) {
      this.#turning = true;
      setImmediate(this.#turn);
    } else this.#park();
  }

  /** Whether to look again soon: a device is masked, so that its NAPI has work left, or there was an event just now. */
  #wantsTurn(now: number): boolean {
    let busy = 0;
    for (let i = 0; i < this.#sources.length; i++) {
      const s = this.#sources[i];
      if (s.masked) return true;
      if (s.busyPoll > busy) busy = s.busyPoll;
    }
    return (now - this.#last) * 1000 < busy;
  }

  /** Asks the kernel without waiting, and serves. False: nothing was ready. */
  #look(): boolean {
    const fds = this.#turnFds = this.#fill(this.#turnFds, 0);
    const n = this.#sources.length;
    if (this.libc.sys.poll(fds.pointer, n, 0) <= 0) return false;
    this.#serve(fds);
    return true;
  }

  /** Writes struct pollfd for all sources. */
  #fill(fds: HostBuffer, extra: number): HostBuffer {
    const n = this.#sources.length;
    if (fds.words.length < (n + extra) * 2) fds = new HostBuffer((n + extra) * 16);
    for (let i = 0; i < n; i++) {
      const s = this.#sources[i];
      // A negative descriptor is skipped: POLLERR would come unasked.
      fds.words[i * 2] = s.events === 0 ? -1 : s.fd;
      fds.words[i * 2 + 1] = s.events;
    }
    return fds;
  }

  #serve(fds: HostBuffer): void {
    // A source may remove itself or others: each is found by its descriptor.
    for (let i = this.#sources.length - 1; i >= 0; i--) {
      const s = this.#sources[i];
      if (s === undefined || fds.words[i * 2] !== s.fd) continue;
      const revents = fds.words[i * 2 + 1] >>> 16;
      fds.words[i * 2 + 1] = 0;
      if (revents !== 0) s.ready(revents);
    }
  }

  #park(): void {
    const n = this.#sources.length;
    const fds = this.#parkFds = this.#fill(this.#parkFds, 1);
    fds.words[n * 2] = this.#eventfd;
    fds.words[n * 2 + 1] = POLLIN;
    this.#parked = true;
    this.parks++;
    this.libc.sys.poll_park(fds.pointer, n + 1, -1).then(this.#unpark);
  }

  #unpark = (): void => {
    this.#parked = false;
    // Reading resets the counter; without a kick it is EAGAIN.
    this.libc.sys.read(this.#eventfd, this.#one.pointer, 8);
    this.#one.words[0] = 1;
    this.#one.words[1] = 0;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done();
    this.#turn();
  };
}
