/**
 * The spanning tree: of all ways, those to the root that cost least; the other ports block. IEEE 802.1D-1998 section 8;
 * Linux: net/bridge/br_stp.c.
 */
import type { Config } from "./stp_bpdu.ts";
import { sendConfig, sendTcn } from "./stp_bpdu.ts";
import {
  BR_STATE_BLOCKING,
  BR_STATE_DISABLED,
  BR_STATE_FORWARDING,
  BR_STATE_LEARNING,
  BR_STATE_LISTENING,
  type BridgeState,
  type BridgeTimers,
  compareId,
  type Port,
  type PortTimers,
} from "./state.ts";

/** Between two messages on one port. */
const HOLD_TIME = 1000;
/** What a message ages by at each bridge. */
const MESSAGE_AGE_INCR = 1000;

/** We speak for this link. Linux: br_is_designated_port(). */
export function isDesignatedPort(p: Port): boolean {
  return compareId(p.designatedBridge, p.br.id) === 0 && p.designatedPort === p.id;
}

/** We speak for at least one link. */
function isDesignatedForSomePort(br: BridgeState): boolean {
  return br.ports.some((p) => p.state !== BR_STATE_DISABLED && isDesignatedPort(p));
}

/** Whether the way through `p` is better than the one through `root`. Linux: br_should_become_root_port(). */
function betterRootPort(p: Port, root: Port | null): boolean {
  const { br } = p;
  if (p.state === BR_STATE_DISABLED || isDesignatedPort(p)) return false;
  if (compareId(br.id, p.designatedRoot) <= 0) return false;
  if (root === null) return true;
  return (compareId(p.designatedRoot, root.designatedRoot) ||
    (p.designatedCost + p.pathCost) - (root.designatedCost + root.pathCost) ||
    compareId(p.designatedBridge, root.designatedBridge) ||
    p.designatedPort - root.designatedPort || p.id - root.id) < 0;
}

/** Linux: br_root_selection(). */
function rootSelection(br: BridgeState): void {
  let root: Port | null = null;
  for (const p of br.ports) if (betterRootPort(p, root)) root = p;
  br.rootPort = root?.no ?? 0;
  br.designatedRoot = { ...(root === null ? br.id : root.designatedRoot) };
  br.rootPathCost = root === null ? 0 : root.designatedCost + root.pathCost;
}

/** Linux: br_should_become_designated_port(). */
function shouldBecomeDesignated(p: Port): boolean {
  const { br } = p;
  if (isDesignatedPort(p) || compareId(p.designatedRoot, br.designatedRoot) !== 0) return true;
  return (br.rootPathCost - p.designatedCost || compareId(br.id, p.designatedBridge) || p.id - p.designatedPort) < 0;
}

/** We speak for this link. Linux: br_become_designated_port(). */
function becomeDesignated(p: Port): void {
  const { br } = p;
  p.designatedRoot = { ...br.designatedRoot };
  p.designatedCost = br.rootPathCost;
  p.designatedBridge = { ...br.id };
  p.designatedPort = p.id;
}

/** Linux: br_configuration_update(). */
function configurationUpdate(br: BridgeState): void {
  rootSelection(br);
  for (const p of br.ports) if (p.state !== BR_STATE_DISABLED && shouldBecomeDesignated(p)) becomeDesignated(p);
}

/** Linux: br_port_state_selection(). */
export function portStateSelection(br: BridgeState): void {
  for (const p of br.ports) {
    if (p.state === BR_STATE_DISABLED) continue;
    if (p.no === br.rootPort || !br.stp) {
      p.topologyChangeAck = false;
      p.configPending = false;
      makeForwarding(p);
    } else if (isDesignatedPort(p)) {
      br.machine.delTimer(p.messageAgeTimer);
      makeForwarding(p);
    } else {
      p.configPending = false;
      p.topologyChangeAck = false;
      makeBlocking(p);
    }
  }
  br.dev.setCarrier(br.ports.some((p) => p.state === BR_STATE_FORWARDING));
}

/** Linux: br_make_forwarding(). */
function makeForwarding(p: Port): void {
  if (p.state !== BR_STATE_BLOCKING) return;
  const { br } = p;
  if (!br.stp || br.times.forwardDelay === 0) {
    p.state = BR_STATE_FORWARDING;
    topologyChangeDetection(br);
  } else {
    p.state = BR_STATE_LISTENING;
    br.machine.modTimer(p.forwardDelayTimer, br.times.forwardDelay);
  }
}

/** Linux: br_make_blocking(). */
function makeBlocking(p: Port): void {
  if (p.state === BR_STATE_DISABLED || p.state === BR_STATE_BLOCKING) return;
  if (p.state === BR_STATE_FORWARDING || p.state === BR_STATE_LEARNING) topologyChangeDetection(p.br);
  p.state = BR_STATE_BLOCKING;
  p.br.machine.delTimer(p.forwardDelayTimer);
}

/** The tree changed: the root is told, who makes all forget addresses sooner. Linux: br_topology_change_detection(). */
function topologyChangeDetection(br: BridgeState): void {
  if (!br.stp) return;
  if (br.isRoot) {
    setTopologyChange(br, true);
    br.machine.modTimer(br.topologyChangeTimer, br.own.maxAge + br.own.forwardDelay);
  } else if (!br.topologyChangeDetected) {
    sendTcn(br);
    br.machine.modTimer(br.tcnTimer, br.own.helloTime);
  }
  br.topologyChangeDetected = true;
}

/** While the topology changes, addresses age within the forward delay. Linux: __br_set_topology_change(). */
function setTopologyChange(br: BridgeState, on: boolean): void {
  br.topologyChange = on;
  br.fdb.ageing = on ? br.times.forwardDelay : br.ageing;
}

/** Messages on all links that we speak for. Linux: br_config_bpdu_generation(). */
export function configGeneration(br: BridgeState): void {
  for (const p of br.ports) if (p.state !== BR_STATE_DISABLED && isDesignatedPort(p)) transmitConfig(p);
}

/** One message, or later if the last was within a second. Linux: br_transmit_config(). */
export function transmitConfig(p: Port): void {
  const { br } = p;
  if (p.holdTimer.pending) {
    p.configPending = true;
    return;
  }
  const root = br.ports.find((q) => q.no === br.rootPort);
  const left = root === undefined ? 0 : (root.messageAgeTimer.expires - br.machine.jiffies) | 0;
  const age = root === undefined ? 0 : br.times.maxAge - left + MESSAGE_AGE_INCR;
  if (age >= br.times.maxAge) return;
  sendConfig(p, {
    topologyChange: br.topologyChange,
    topologyChangeAck: p.topologyChangeAck,
    root: br.designatedRoot,
    rootPathCost: br.rootPathCost,
    bridge: br.id,
    port: p.id,
    messageAge: age,
    maxAge: br.times.maxAge,
    helloTime: br.times.helloTime,
    forwardDelay: br.times.forwardDelay,
  });
  p.topologyChangeAck = false;
  p.configPending = false;
  br.machine.modTimer(p.holdTimer, HOLD_TIME);
}

/** Whether a message is better than what we know of its link. Linux: br_supersedes_port_info(). */
function supersedes(p: Port, c: Config): boolean {
  const d = compareId(c.root, p.designatedRoot) || c.rootPathCost - p.designatedCost ||
    compareId(c.bridge, p.designatedBridge);
  if (d !== 0) return d < 0;
  return compareId(c.bridge, p.br.id) !== 0 || c.port <= p.designatedPort;
}

/** A configuration message came. Linux: br_received_config_bpdu(). */
export function receivedConfig(p: Port, c: Config): void {
  const { br } = p;
  const wasRoot = br.isRoot;
  if (!supersedes(p, c)) {
    if (isDesignatedPort(p)) transmitConfig(p);
    return;
  }
  p.designatedRoot = { ...c.root };
  p.designatedCost = c.rootPathCost;
  p.designatedBridge = { ...c.bridge };
  p.designatedPort = c.port;
  br.machine.modTimer(p.messageAgeTimer, Math.max(1, c.maxAge - c.messageAge));
  configurationUpdate(br);
  portStateSelection(br);
  if (!br.isRoot && wasRoot) {
    br.machine.delTimer(br.helloTimer);
    if (br.topologyChangeDetected) {
      br.machine.delTimer(br.topologyChangeTimer);
      sendTcn(br);
      br.machine.modTimer(br.tcnTimer, br.own.helloTime);
    }
  }
  if (p.no !== br.rootPort) return;
  br.times.maxAge = c.maxAge;
  br.times.helloTime = c.helloTime;
  br.times.forwardDelay = c.forwardDelay;
  setTopologyChange(br, c.topologyChange);
  configGeneration(br);
  if (c.topologyChangeAck) {
    br.topologyChangeDetected = false;
    br.machine.delTimer(br.tcnTimer);
  }
}

/** A neighbour below tells of a change. Linux: br_received_tcn_bpdu(). */
export function receivedTcn(p: Port): void {
  if (!isDesignatedPort(p)) return;
  topologyChangeDetection(p.br);
  p.topologyChangeAck = true;
  transmitConfig(p);
}

/** A port comes up. Linux: br_stp_enable_port(). */
export function enablePort(p: Port): void {
  becomeDesignated(p);
  p.state = BR_STATE_BLOCKING;
  p.topologyChangeAck = false;
  p.configPending = false;
  portStateSelection(p.br);
}

/** A port goes down. Linux: br_stp_disable_port(). */
export function disablePort(p: Port): void {
  const { br } = p;
  const wasRoot = br.isRoot;
  becomeDesignated(p);
  p.state = BR_STATE_DISABLED;
  p.topologyChangeAck = false;
  p.configPending = false;
  for (const t of [p.messageAgeTimer, p.forwardDelayTimer, p.holdTimer]) br.machine.delTimer(t);
  br.fdb.prune((port, fixed) => port === p && !fixed);
  configurationUpdate(br);
  portStateSelection(br);
  if (br.isRoot && !wasRoot) becomeRoot(br);
}

/** Linux: br_become_root_bridge(). */
function becomeRoot(br: BridgeState): void {
  Object.assign(br.times, br.own);
  topologyChangeDetection(br);
  br.machine.delTimer(br.tcnTimer);
  hello(br);
}

function hello(br: BridgeState): void {
  configGeneration(br);
  br.machine.modTimer(br.helloTimer, br.times.helloTime);
}

/** The identity changed, or a cost: all is decided again. Linux: br_stp_change_bridge_id(). */
export function recompute(br: BridgeState, before: { hi: number; lo: number }): void {
  const wasRoot = compareId(br.designatedRoot, before) === 0;
  for (const p of [br.self, ...br.ports]) {
    if (compareId(p.designatedBridge, before) === 0) p.designatedBridge = { ...br.id };
    if (compareId(p.designatedRoot, before) === 0) p.designatedRoot = { ...br.id };
  }
  if (wasRoot) br.designatedRoot = { ...br.id };
  configurationUpdate(br);
  portStateSelection(br);
  if (br.isRoot && !wasRoot && br.stp) becomeRoot(br);
}

/** The root's timers begin. Linux: br_stp_enable_bridge(). */
export function startBridge(br: BridgeState): void {
  if (br.stp) hello(br);
  br.machine.modTimer(br.gcTimer, 1000);
}

/** Handlers of the timers. Linux: net/bridge/br_stp_timer.c. */
export const portTimers: PortTimers = {
  forwardDelay(p) {
    const { br } = p;
    if (p.state === BR_STATE_LISTENING) {
      p.state = BR_STATE_LEARNING;
      br.machine.modTimer(p.forwardDelayTimer, br.times.forwardDelay);
    } else if (p.state === BR_STATE_LEARNING) {
      p.state = BR_STATE_FORWARDING;
      if (isDesignatedForSomePort(br)) topologyChangeDetection(br);
      portStateSelection(br);
    }
  },
  messageAge(p) {
    const { br } = p;
    if (p.state === BR_STATE_DISABLED) return;
    const wasRoot = br.isRoot;
    becomeDesignated(p);
    configurationUpdate(br);
    portStateSelection(br);
    if (br.isRoot && !wasRoot) becomeRoot(br);
  },
  hold(p) {
    if (p.configPending) transmitConfig(p);
  },
};

/** Handlers of a bridge's timers. */
export const bridgeTimers: BridgeTimers = {
  hello(br) {
    if (br.isRoot) hello(br);
  },
  tcn(br) {
    if (br.isRoot) return;
    sendTcn(br);
    br.machine.modTimer(br.tcnTimer, br.own.helloTime);
  },
  topologyChange(br) {
    br.topologyChangeDetected = false;
    setTopologyChange(br, false);
  },
  gc(br) {
    const now = br.machine.jiffies;
    br.fdb.prune((_, fixed, seen) => !fixed && ((now - seen) | 0) > br.fdb.ageing);
    br.machine.modTimer(br.gcTimer, Math.max(1000, Math.min(10_000, br.fdb.ageing)));
  },
};
