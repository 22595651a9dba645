/**
 * Sockets inside the kernel: the protocol switch, buffer accounting, wait queues, and SOL_SOCKET options.
 *
 * A protocol registers a row of the switch with {@linkcode sockRegister}; `socket()` makes a {@linkcode Sock} whose
 * `ops` is that row's. A received packet is charged to the socket by `truesize` until the reader frees it, a sent one
 * until the device frees it.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { ERRNO, Machine } from "@netpath/stack/core";
 * import { SO_RCVBUF, SOCK, sock } from "@netpath/stack/sock";
 *
 * using machine = new Machine();
 * const net = machine.createNet({ plugins: [sock()] });
 * const table = net.get(SOCK);
 * assertEquals(table.create(2, 1, 0), null);
 * assertEquals(table.errno, -ERRNO.ESOCKTNOSUPPORT); // no protocol of SOCK_STREAM is there
 * assertEquals(SO_RCVBUF, 8);
 * ```
 *
 * @module
 */
import type { Net, Plugin } from "../../../core/mod.ts";
import { SOCK, type SockTable } from "./contract.ts";
import { SOCK_MIN_RCVBUF, SOCK_MIN_SNDBUF } from "./contract.ts";
import { sockClone, sockCreate, sockDestroy, sockRegisterRow, sockRelease, SockState } from "./state.ts";
import { sockGetsockopt, sockSetsockopt } from "./options.ts";

export * from "./contract.ts";

/** The plugin. */
export function sock(): Plugin {
  return { name: "sock", api: 1, provides: [SOCK], setup };
}

function setup(net: Net): Disposable {
  const st = net.state("sock:table", () => new SockState(net));
  net.provide(SOCK, tableOf(st));
  const knobs = [
    net.sysctl.define("net.core.rmem_default", {
      value: 212992,
      min: SOCK_MIN_RCVBUF,
      max: 0x7fffffff,
      apply: (v) => st.rmemDefault = v,
    }),
    net.sysctl.define("net.core.wmem_default", {
      value: 212992,
      min: SOCK_MIN_SNDBUF,
      max: 0x7fffffff,
      apply: (v) => st.wmemDefault = v,
    }),
    net.sysctl.define("net.core.rmem_max", {
      value: 4194304,
      min: SOCK_MIN_RCVBUF,
      max: 0x3fffffff,
      apply: (v) => st.limits.rmemMax = v,
    }),
    net.sysctl.define("net.core.wmem_max", {
      value: 4194304,
      min: SOCK_MIN_SNDBUF,
      max: 0x3fffffff,
      apply: (v) => st.limits.wmemMax = v,
    }),
    net.sysctl.define("net.core.somaxconn", {
      value: 4096,
      min: 0,
      max: 0x7fffffff,
      apply: (v) => st.limits.somaxconn = v,
    }),
    net.sysctl.define("net.ipv4.ip_local_port_range", {
      value: [32768, 60999],
      min: 1,
      max: 65535,
      apply: (_, [low, high]) => {
        st.limits.portLow = low;
        st.limits.portHigh = high;
      },
    }),
  ];
  return {
    [Symbol.dispose]: () => {
      for (const knob of knobs) knob[Symbol.dispose]();
      if (!net.disposed) return;
      for (const sk of st.list()) sockRelease(st, sk);
      for (const sk of st.list()) sockDestroy(st, sk);
    },
  };
}

function tableOf(st: SockState): SockTable {
  return {
    errno: 0,
    // `this` is the stable record, whose errno the callers read.
    create(family, type, protocol) {
      const sk = sockCreate(st, family, type, protocol);
      this.errno = st.errno;
      return sk;
    },
    register: (sw) => sockRegisterRow(st, sw),
    limits: st.limits,
    clone: (sk) => sockClone(st, sk),
    destroy: (sk) => sockDestroy(st, sk),
    release: (sk) => sockRelease(st, sk),
    setsockopt: (sk, name, value, value2 = 0) => sockSetsockopt(st, sk, name, value, value2),
    getsockopt: (sk, name) => sockGetsockopt(sk, name),
    list: () => st.list(),
  };
}
