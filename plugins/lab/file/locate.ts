/**
 * Where in a YAML text a value stands: from a path like `hosts.a.nics.eth0.mtu` to a line. It follows indentation and
 * dashes as far as they lead; inside a flow collection (`{...}`, `[...]`) it gives the line on which that begins.
 */

/** A path into parsed YAML. */
export type Path = readonly (string | number)[];

interface Line {
  /** Number, from 1. */
  readonly no: number;
  readonly indent: number;
  readonly text: string;
}

/** Lines with something on them; text of block scalars and comments are left out. */
function linesOf(source: string): Line[] {
  const out: Line[] = [];
  let scalar = -1;
  source.split("\n").forEach((raw, i) => {
    const text = raw.trimStart();
    const indent = raw.length - text.length;
    if (text === "" || text.startsWith("#") || text === "---") return;
    if (scalar >= 0 && indent > scalar) return;
    scalar = /[:-]\s+[|>][+-]?\s*(#.*)?$/.test(text) ? indent : -1;
    out.push({ no: i + 1, indent, text });
  });
  return out;
}

/** The line of the key or item at `path`; of the nearest one above it where it is not there itself. From 1. */
export function lineOf(source: string, path: Path): number {
  let lines = linesOf(source);
  let found = lines[0]?.no ?? 1;
  for (const step of path) {
    const at = typeof step === "number" ? item(lines, step) : key(lines, step);
    if (at === null) break;
    found = at.no;
    lines = at.below;
  }
  return found;
}

interface Place {
  readonly no: number;
  readonly below: Line[];
}

/** What is below `lines[i]`: deeper lines, and what stands behind its key or dash. */
function below(lines: readonly Line[], i: number, rest: string, indent: number): Line[] {
  const out: Line[] = rest === "" ? [] : [{ no: lines[i].no, indent, text: rest }];
  for (let k = i + 1; k < lines.length; k++) {
    // A sequence may stand as deep as the key that it belongs to.
    const dash = lines[k].text.startsWith("- ") || lines[k].text === "-";
    if (lines[k].indent < lines[i].indent || (lines[k].indent === lines[i].indent && (!dash || isDash(lines[i])))) {
      break;
    }
    out.push(lines[k]);
  }
  return out;
}

function isDash(line: Line): boolean {
  return line.text.startsWith("- ") || line.text === "-";
}

function key(lines: readonly Line[], name: string): Place | null {
  const base = lines[0]?.indent ?? 0;
  for (let i = 0; i < lines.length; i++) {
    if (lines[i].indent !== base) continue;
    const m = /^(?:"([^"]*)"|'([^']*)'|([^:#{}\[\]]+?))\s*:(?:\s+(.*))?$/.exec(lines[i].text);
    if (m === null || (m[1] ?? m[2] ?? m[3]) !== name) continue;
    return { no: lines[i].no, below: below(lines, i, (m[4] ?? "").replace(/^#.*/, ""), base + 1) };
  }
  return null;
}

function item(lines: readonly Line[], index: number): Place | null {
  const base = lines[0]?.indent ?? 0;
  let n = -1;
  for (let i = 0; i < lines.length; i++) {
    if (lines[i].indent !== base || !isDash(lines[i]) || ++n !== index) continue;
    const rest = lines[i].text.slice(1);
    const text = rest.trimStart();
    return { no: lines[i].no, below: below(lines, i, text, base + 1 + rest.length - text.length) };
  }
  return null;
}
