/**
 * The neighbour table: which link address a next hop has, how long that is believed, and the packets that wait for it.
 * Linux: net/core/neighbour.c.
 *
 * `state.ts` draws the states and their timers; `update.ts` says what is learnt; `table.ts` keeps the entries within
 * gc_thresh1, 2, 3; `output.ts` is the way down. Who asks is `arp`, through `setSolicit`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { ethernet } from "@netpath/stack/ethernet";
 * import { NEIGH, neigh } from "@netpath/stack/neigh";
 *
 * using machine = new Machine();
 * const net = machine.createNet({ plugins: [ethernet(), neigh()] });
 * const sent: string[] = [];
 * const dev = net.registerNetdev("eth0", {
 *   startXmit(skb) {
 *     sent.push(skb.bytes.subarray(skb.data, skb.data + 6).toHex());
 *     skb.consume();
 *     return 0;
 *   },
 * });
 *
 * const table = net.get(NEIGH);
 * table.set(dev, "10.0.0.2", "02:00:00:00:00:02");
 * const skb = machine.skbs.alloc(256)!;
 * skb.reserve(128);
 * skb.put(64);
 * skb.protocol = 0x0800;
 * table.output(table.lookup(dev, 0x0a000002)!, skb);
 * assertEquals(sent, ["020000000002"]);
 * ```
 *
 * @module
 */
import {
  ERRNO,
  type NetdevEvent,
  type NetDevice,
  parseMac,
  type Plugin,
  type SkBuff,
  Timer,
} from "../../../core/mod.ts";
import { needIp } from "../inet/header.ts";
import {
  NEIGH,
  NEIGH_UPDATE_F_ADMIN,
  NEIGH_UPDATE_F_OVERRIDE,
  type Neighbour,
  type NeighTable,
  NUD_FAILED,
  NUD_PERMANENT,
} from "./contract.ts";
import { neighOutput } from "./output.ts";
import { neighSysctl } from "./parms.ts";
import { neighEventSend, neighTimerHandler } from "./state.ts";
import {
  neighCreate,
  type NeighEntry,
  neighFlush,
  neighList,
  neighLookup,
  neighPeriodicWork,
  neighRemove,
  NeighState,
} from "./table.ts";
import { neighUpdate } from "./update.ts";

export * from "./contract.ts";

/** The neighbour table of a net. */
export function neigh(): Plugin {
  return {
    name: "neigh",
    api: 1,
    provides: [NEIGH],
    setup(net) {
      const st = net.state("neigh:table", () => new NeighState(net));
      net.provide(NEIGH, table(st));
      net.registration(() => {
        st.onTimer = (n) => neighTimerHandler(st, n);
        const chain = net.netdevChain.register((event) => netdevEvent(st, event));
        const sysctl = net.sysctl.defineTree("net.ipv4.neigh.", neighSysctl(st));
        const gc = startGc(st);
        return () => {
          gc();
          sysctl[Symbol.dispose]();
          chain[Symbol.dispose]();
        };
      });
    },
  };
}

/** The record with its state: one function for all nets is known to V8 by identity, a closure per net is not. */
interface NeighOps extends NeighTable {
  readonly st: NeighState;
}

function output(this: NeighOps, n: Neighbour, skb: SkBuff): number {
  return neighOutput(this.st, n as NeighEntry, skb);
}

/** The record that others call. */
function table(st: NeighState): NeighOps {
  return {
    st,
    lookup: (dev, key) => neighLookup(st, dev, key),
    create: (dev, key) => neighCreate(st, dev, key, false),
    output,
    update: (n, haHi, haLo, state, flags) => neighUpdate(st, n as NeighEntry, haHi, haLo, state, flags),
    confirm: (n) => void (n.confirmed = st.machine.jiffies),
    probe: (n) => void neighEventSend(st, n as NeighEntry, null),
    set: (dev, ip, mac, state) => setByHand(st, dev, ip, mac, state ?? NUD_PERMANENT),
    del: (dev, ip) => deleteByHand(st, dev, ip),
    flush: (dev, permanentToo) => neighFlush(st, dev, permanentToo),
    list: () => neighList(st),
    parms: (dev) => st.parms(dev),
    setSolicit(ops) {
      st.solicit = ops;
      return () => {
        if (st.solicit === ops) st.solicit = st.noSolicit;
      };
    },
    gcThresh: st.gcThresh,
    stats: st.stats,
  };
}

/** Linux: neigh_add(), `ip neigh replace`. A malformed address is a TypeError. */
function setByHand(st: NeighState, dev: NetDevice, ip: string, mac: string, state: number): number {
  const ha = parseMac(mac);
  if (ha === null) throw new TypeError(`Cannot use link address "${mac}": it is not six hex bytes`);
  const key = needIp(ip, "neighbour");
  st.machine.enter();
  const n = neighCreate(st, dev, key, (state & NUD_PERMANENT) !== 0);
  const flags = NEIGH_UPDATE_F_OVERRIDE | NEIGH_UPDATE_F_ADMIN;
  const err = n === null ? -ERRNO.ENOBUFS : neighUpdate(st, n, ha[0], ha[1], state, flags);
  st.machine.exit();
  return err;
}

/** Linux: neigh_delete(), `ip neigh del`. -ENOENT: there is none. A malformed address is a TypeError. */
function deleteByHand(st: NeighState, dev: NetDevice, ip: string): number {
  const n = neighLookup(st, dev, needIp(ip, "neighbour"));
  if (n === null) return -ERRNO.ENOENT;
  st.machine.enter();
  neighUpdate(st, n, 0, 0, NUD_FAILED, NEIGH_UPDATE_F_OVERRIDE | NEIGH_UPDATE_F_ADMIN);
  neighRemove(st, n);
  st.machine.exit();
  return 0;
}

/**
 * A device that goes down or changes its address takes all entries with it; one that loses its carrier keeps those that
 * were set by hand. Linux: neigh_ifdown(), neigh_changeaddr(), neigh_carrier_down().
 */
function netdevEvent(st: NeighState, event: NetdevEvent): void {
  const { kind, dev } = event;
  if (kind === "NETDEV_DOWN" || kind === "NETDEV_CHANGEADDR" || kind === "NETDEV_UNREGISTER") neighFlush(st, dev, true);
  else if (kind === "NETDEV_CHANGE" && !dev.carrier) neighFlush(st, dev, false);
  if (kind === "NETDEV_UNREGISTER") st.forget(dev);
}

/** Collects every half reachable time; alone it keeps no virtual time running. Returns how to stop it. */
function startGc(st: NeighState): () => void {
  const timer = new Timer(() => {
    neighPeriodicWork(st);
    rearm();
  }, true);
  const rearm = (): void => st.machine.modTimer(timer, Math.max(1, st.defaults.baseReachableTime >>> 1));
  rearm();
  return () => void st.machine.delTimer(timer);
}
