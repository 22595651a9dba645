/** Events grouped by packet, packets by what caused them. */
import type { JourneyBuffer, JourneyPacket, JourneyRecord } from "./contract.ts";

/** The packets of a recording: roots, with what they caused below them. */
export function groupPackets(records: readonly JourneyRecord[]): JourneyPacket[] {
  const byId = new Map<number, JourneyRecord[]>();
  for (const r of records) {
    if (r.id === 0) continue;
    const list = byId.get(r.id);
    if (list === undefined) byId.set(r.id, [r]);
    else list.push(r);
  }
  const packets = new Map<number, JourneyPacket>();
  for (const [id, list] of byId) packets.set(id, packetOf(id, list, byId));
  const roots: JourneyPacket[] = [];
  for (const p of packets.values()) {
    const parent = p.link === "caused" ? packets.get(p.cause) : undefined;
    (parent?.children ?? roots).push(p);
  }
  return roots;
}

function packetOf(
  id: number,
  records: readonly JourneyRecord[],
  known: ReadonlyMap<number, unknown>,
): JourneyPacket {
  const cause = records[0].cause;
  const nets: string[] = [];
  for (const r of records) if (r.net !== "" && !nets.includes(r.net)) nets.push(r.net);
  return {
    id,
    cause,
    // An id is older than what it causes: anything else is a number that wrapped.
    link: cause !== 0 && cause !== id && known.has(cause) ? "caused" : "root",
    packet: records.find((r) => r.packet !== "")?.packet ?? "",
    nets,
    buffers: buffersOf(records),
    records,
    children: [],
  };
}

function buffersOf(records: readonly JourneyRecord[]): JourneyBuffer[] {
  type Draft = { -readonly [K in keyof JourneyBuffer]: JourneyBuffer[K] };
  const out: Draft[] = [];
  for (const r of records) {
    if (r.layout === null) continue;
    const head = r.layout.head;
    const same = out.find((b) => b.head === head && b.net === r.net);
    if (same !== undefined) {
      same.cloned ||= r.layout.cloned;
      if (same.origin === "copy" && r.packet.includes(" fragment at ")) same.origin = "fragment";
      continue;
    }
    const origin = out.length === 0
      ? "first"
      : out.every((b) => b.net !== r.net)
      ? "wire"
      : r.packet.includes(" fragment at ")
      ? "fragment"
      : "copy";
    out.push({ head, net: r.net, origin, cloned: r.layout.cloned });
  }
  return out;
}
