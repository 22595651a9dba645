/** The picture of a buffer: where `data` is, which headers are in front of the payload, which were stripped. */
import type { JourneyLayout } from "./contract.ts";

const ETH_P_ARP = 0x0806;

/**
 * `cells` characters, each `cell` bytes, starting `from` bytes behind the head. `·` is headroom; `E` link, `I` network,
 * `U` transport header, `A` ARP, `▒` payload, `░` payload that is only referred to (frags). Lower case: stripped already,
 * still in memory.
 */
export function bar(layout: JourneyLayout, from: number, cells: number, cell: number): string {
  let out = "";
  const end = layout.tail + layout.dataLen;
  const more = end > from + cells * cell;
  for (let i = 0; i < cells; i++) {
    const at = from + i * cell + cell / 2;
    out += more && i === cells - 1 ? "…" : at >= end ? " " : at >= layout.tail ? "░" : letter(layout, at);
  }
  return out;
}

function letter(l: JourneyLayout, at: number): string {
  const known = header(l, at);
  if (at >= l.data) return known === "" ? "▒" : known;
  return known === "" ? "·" : known.toLowerCase();
}

function header(l: JourneyLayout, at: number): string {
  if (l.transport >= 0 && l.transport > l.network && at >= l.transport) {
    return at < l.transport + l.transportLen ? "U" : "";
  }
  if (l.network >= 0 && at >= l.network && l.network >= l.mac) {
    if (l.protocol === ETH_P_ARP) return at < l.network + 28 ? "A" : "";
    return at < (l.transport > l.network ? l.transport : l.network + 20) ? "I" : "";
  }
  return l.mac >= 0 && at >= l.mac && at < l.mac + 14 ? "E" : "";
}
