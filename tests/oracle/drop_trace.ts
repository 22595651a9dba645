/**
 * The kernel's own word on why it dropped a frame: the `skb:kfree_skb` tracepoint, read through a private tracefs instance, limited to
 * this thread. Receive runs inside the `write` to the TAP, so every drop it causes is in the trace when `write` returns.
 *
 * @module
 */

import { PipeFile } from "./libc.ts";

/**
 * Softirqs of others run on top of this thread at times: of the machine's own connections (no scenario has TCP or Unix sockets), and of
 * namespaces that are going away, whose reassembly queues, neighbours and sockets are emptied then; and of TAPs that other tests
 * flood. Ours is read after each frame: its queue never fills up.
 */
const FOREIGN = /^(tcp_|unix_|netlink_|inet_frag|ip_expire)/;
const FOREIGN_REASONS = new Set(["QUEUE_PURGE", "NEIGH_FAILED", "FRAG_REASM_TIMEOUT", "FULL_RING"]);

/** Drop reasons of what this thread did to the kernel. */
export class DropTrace implements Disposable {
  readonly #mount: string;
  readonly #root: string;
  readonly #pipe: PipeFile;

  constructor() {
    this.#mount = Deno.makeTempDirSync({ prefix: "netpath-trace-" });
    command("mount", "-t", "tracefs", "nodev", this.#mount);
    this.#root = `${this.#mount}/instances/netpath-${Deno.pid}`;
    Deno.mkdirSync(this.#root);
    Deno.writeTextFileSync(`${this.#root}/events/skb/kfree_skb/filter`, `common_pid == ${Deno.pid}`);
    Deno.writeTextFileSync(`${this.#root}/events/skb/kfree_skb/enable`, "1");
    this.#pipe = new PipeFile(`${this.#root}/trace_pipe`);
  }

  /** The reasons since the last call, without `SKB_DROP_REASON_`, each with the function that dropped. */
  take(): string[] {
    const text = this.#pipe.take();
    if (text === "") return [];
    const drops = text.matchAll(/kfree_skb: .*?location=([\w.]+)\S* reason: (\S+)/g);
    return Array.from(drops).filter(([, at, why]) => !FOREIGN.test(at) && !FOREIGN_REASONS.has(why))
      .map(([, at, why]) => `${why} @${at}`);
  }

  [Symbol.dispose](): void {
    this.#pipe.close();
    Deno.writeTextFileSync(`${this.#root}/events/skb/kfree_skb/enable`, "0");
    Deno.removeSync(this.#root);
    command("umount", this.#mount);
    Deno.removeSync(this.#mount);
  }
}

function command(name: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command(name, { args, stdout: "null", stderr: "piped" }).outputSync();
  if (!success) throw new Error(`Cannot run ${name}: ${new TextDecoder().decode(stderr).trim()}`);
}
