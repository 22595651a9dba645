/**
 * The kernel half of the TCP oracle: runs in a network namespace of its own and plays the cases to the kernel through a TAP. Start it
 * through `tcp_kernel.ts`:
 *
 *     unshare -n DENO run -A tcp_kernel_host.ts --cases FILE.json --answers FILE.json
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { Tap } from "./libc.ts";
import { generateTcpCases } from "../support/frames/generate_tcp.ts";
import { HOST_IP, HOST_MAC, type HostSocket, LISTEN_PORT, peerMac, runCases, type TcpHost } from "./tcp_driver.ts";
import { monotonicMs, TcpSocket } from "./tcp_libc.ts";
import { TCP_SYSCTLS, type TcpScenario } from "./tcp_scenario.ts";

function run(command: string): void {
  const [name, ...args] = command.split(" ");
  const { success, stderr } = new Deno.Command(name, { args, stdout: "null", stderr: "piped" }).outputSync();
  if (!success) throw new Error(`Cannot run "${command}": ${new TextDecoder().decode(stderr).trim()}`);
}

function sysctl(name: string, value: string | number): void {
  try {
    Deno.writeTextFileSync(`/proc/sys/net/${name.replaceAll(".", "/")}`, `${value}\n`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Cases of the warm-up come from the last peer. */
const WARM_PEERS = 7 * 20_000;

/** The part of a millisecond in which a case may begin. */
const TICK_BEGINS = 0.05;

const lock = new Int32Array(new SharedArrayBuffer(4));

/** The kernel of this namespace behind a TAP. */
export class KernelTcpHost implements TcpHost {
  readonly #tap: Tap;
  readonly #listener: TcpSocket;

  constructor(scenario: TcpScenario) {
    sysctl("ipv6.conf.all.disable_ipv6", 1);
    sysctl("ipv6.conf.default.disable_ipv6", 1);
    for (const [name, value] of Object.entries({ ...TCP_SYSCTLS, ...scenario.sysctls })) sysctl(name, value);
    run("ip link set lo up");
    this.#tap = new Tap("tap0");
    run(`ip link set tap0 address ${HOST_MAC} mtu ${scenario.mtu} txqueuelen 10000`);
    run(`ip addr add ${HOST_IP}/24 brd + dev tap0`);
    run("ip link set tap0 up");
    for (let n = 2; n < 10; n++) {
      run(`ip neigh replace 10.9.0.${n} lladdr ${peerMac(n)} nud permanent dev tap0`);
    }
    this.#listener = TcpSocket.listen("0.0.0.0", LISTEN_PORT, 1024);
    this.wait(50);
    this.output();
  }

  input(frame: Uint8Array): void {
    this.#tap.write(frame);
  }

  output(): Uint8Array[] {
    const out: Uint8Array[] = [];
    for (let bytes = this.#tap.read(); bytes; bytes = this.#tap.read()) out.push(bytes);
    return out;
  }

  begin(): void {
    // There is no sleeping that short.
    while (monotonicMs() % 1 > TICK_BEGINS);
  }

  wait(ms: number): void {
    Atomics.wait(lock, 0, 0, ms);
  }

  accept(): HostSocket | undefined {
    return this.#listener.accept();
  }

  connect(address: string, port: number): TcpSocket {
    return TcpSocket.connect(HOST_IP, address, port);
  }

  now(): number {
    return monotonicMs();
  }
}

if (import.meta.main) {
  const args = parseArgs(Deno.args, { string: ["cases", "answers"] });
  if (!args.cases || !args.answers) {
    console.error("usage: tcp_kernel_host.ts --cases FILE.json --answers FILE.json");
    Deno.exit(2);
  }
  const { scenario, cases } = JSON.parse(Deno.readTextFileSync(args.cases));
  const host = new KernelTcpHost(scenario);
  // Cold code is slow, and the kernel's timers do not wait for it.
  runCases(host, generateTcpCases(0, 600), WARM_PEERS);
  const result = runCases(host, cases);
  Deno.writeTextFileSync(args.answers, JSON.stringify(result));
}
