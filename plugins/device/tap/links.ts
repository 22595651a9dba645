/**
 * What the kernel says about its interfaces: one rtnetlink socket for all devices of the process. Source: rtnetlink(7).
 *
 * @module
 */
import { HostBuffer, type Libc, POLLIN } from "./ffi.ts";
import type { PollSource } from "./poller.ts";

const AF_NETLINK = 16;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const NETLINK_ROUTE = 0;
const RTMGRP_LINK = 1;
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const IFLA_MTU = 4;
/** struct nlmsghdr and struct ifinfomsg. */
const LINK_HEADER = 32;

/** Told about one interface: its MTU (0: not said) and flags; -1 when it is gone. */
export type LinkWatcher = (flags: number, mtu: number) => void;

/** Listens for changes of interfaces. */
export class LinkMonitor implements PollSource {
  /** See {@linkcode PollSource.fd}; -1 when the kernel offers none: nothing is ever said. */
  readonly fd: number;
  /** See {@linkcode PollSource.events}. */
  readonly events: number = POLLIN;
  /** See {@linkcode PollSource.busyPoll}. */
  readonly busyPoll: number = 0;
  /** See {@linkcode PollSource.masked}. */
  readonly masked: boolean = false;
  /** Watchers by interface index. */
  readonly watchers: Map<number, LinkWatcher> = new Map();
  readonly #libc: Libc;
  readonly #buffer = new HostBuffer(32768);

  /** Opens the socket. */
  constructor(libc: Libc) {
    this.#libc = libc;
    const fd = libc.sys.socket(AF_NETLINK, SOCK_RAW_NONBLOCK_CLOEXEC, NETLINK_ROUTE);
    const address = new Uint8Array(12);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_NETLINK, true);
    view.setUint32(8, RTMGRP_LINK, true);
    if (fd >= 0 && libc.sys.bind(fd, address, address.length) < 0) {
      libc.sys.close(fd);
      this.fd = -1;
    } else this.fd = fd;
  }

  /** See {@linkcode PollSource.ready}. */
  ready(): void {
    for (;;) {
      const n = this.#libc.sys.read(this.fd, this.#buffer.pointer, this.#buffer.bytes.length);
      if (n <= 0) return;
      this.#messages(n);
    }
  }

  #messages(n: number): void {
    const view = this.#buffer.view;
    for (let at = 0; at + LINK_HEADER <= n;) {
      const len = view.getUint32(at, true);
      if (len < 16) return;
      const type = view.getUint16(at + 4, true);
      if (type === RTM_NEWLINK || type === RTM_DELLINK) {
        const watcher = this.watchers.get(view.getInt32(at + 20, true));
        watcher?.(type === RTM_DELLINK ? -1 : view.getUint32(at + 24, true), mtuOf(view, at + LINK_HEADER, at + len));
      }
      at += (len + 3) & ~3;
    }
  }
}

function mtuOf(view: DataView, at: number, end: number): number {
  while (at + 8 <= end) {
    const len = view.getUint16(at, true);
    if (len < 4) return 0;
    if (view.getUint16(at + 2, true) === IFLA_MTU) return view.getUint32(at + 4, true);
    at += (len + 3) & ~3;
  }
  return 0;
}
