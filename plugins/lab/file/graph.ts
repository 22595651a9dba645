/** A lab file as a mermaid graph. */
import type { ParsedLab } from "./schema.ts";

/** Hosts are boxes, switches hexagons, links lines with what they do to frames. */
export function graphOf(lab: ParsedLab): string {
  const out = ["graph LR"];
  for (const [name, h] of Object.entries(lab.hosts)) {
    const nics = Object.entries(h?.nics ?? {}).map(([nic, n]) => [nic, ...(n.addresses ?? [])].join(" "));
    out.push(`  ${id(name)}["${[name, ...nics].join("<br/>")}"]`);
  }
  for (const name of Object.keys(lab.switches ?? {})) out.push(`  ${id(name)}{{"${name}"}}`);
  for (const link of lab.links ?? []) {
    const [ends, options] = Array.isArray(link) ? [link, {}] : [link.endpoints, link];
    out.push(edge(ends[0], ends[1], options));
  }
  for (const [name, sw] of Object.entries(lab.switches ?? {})) {
    for (const port of sw.ports) {
      const p = typeof port === "string" ? { to: port } : port;
      out.push(edge(p.to, name, p));
    }
  }
  return out.join("\n");
}

/** mermaid takes no dots and dashes in names. */
function id(name: string): string {
  return name.replace(/\W/g, "_");
}

const SHOWN = ["rate", "delay", "jitter", "loss", "reorder", "duplicate", "corrupt", "pvid"] as const;

function edge(left: string, right: string, options: Readonly<Record<string, unknown>>): string {
  const [a, nicA] = left.split(":");
  const [b, nicB] = right.split(":");
  const words = SHOWN.filter((key) => options[key] !== undefined).map((key) => `${key} ${options[key]}`);
  const label = [[nicA, nicB].filter((n) => n !== undefined).join(" - "), ...words].filter((w) => w !== "").join(", ");
  return `  ${id(a)} ---${label === "" ? "" : `|"${label}"|`} ${id(b)}`;
}
