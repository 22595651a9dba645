/**
 * The netpath half of the TCP oracle: a host on virtual time behind a channel, played by the same driver as the kernel.
 *
 * @module
 */

import {
  NETDEV_TX_OK,
  type NetDevice,
  NETIF_F_HW_CSUM,
  NETIF_F_SG,
  NETIF_F_TSO,
  type SkBuff,
  validateXmit,
} from "../../core/mod.ts";
import { createHost, type Host, Machine } from "../../mod.ts";
import { type Channel, channel } from "../../plugins/device/channel/mod.ts";
import { needIp } from "../../plugins/network/inet/mod.ts";
import { AF_INET, msgHdr, SO_ERROR, SO_LINGER, SOCK_STREAM, SOL_SOCKET } from "../../plugins/transport/sock/mod.ts";
import { TCP } from "../../plugins/transport/tcp/mod.ts";
import { inject } from "./inject.ts";
import type { TcpCase } from "../support/frames/generate_tcp.ts";
import {
  HOST_IP,
  HOST_MAC,
  type HostSocket,
  LISTEN_PORT,
  peerMac,
  runCases,
  type TcpAnswers,
  type TcpHost,
} from "./tcp_driver.ts";
import { TCP_SYSCTLS, type TcpScenario } from "./tcp_scenario.ts";

/** What a device needs for TCP to give it super-packets. */
const GSO = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO;
const MS = 1e6;
/** About what the kernel half takes for a frame, and for a write, ns: a round trip of nothing at all is no round trip. */
const INPUT_TIME = 50_000, WRITE_TIME = 10_000;
const SHUT_WR = 1;
const EINPROGRESS = 115;

function must(result: number, what: string): number {
  if (result < 0) throw new Error(`Cannot ${what}: errno ${-result}`);
  return result;
}

class NetpathSocket implements HostSocket {
  readonly #host: Host;
  readonly #fd: number;

  constructor(host: Host, fd: number) {
    this.#host = host;
    this.#fd = fd;
  }

  state(): number {
    return this.#host.net.get(TCP).info(this.#host.sys.sock(this.#fd)!).tcpi_state;
  }

  read(into: Uint8Array<ArrayBuffer>): number {
    return this.#host.sys.recvmsg(this.#fd, msgHdr(into), 0);
  }

  write(bytes: Uint8Array<ArrayBuffer>): number {
    const sent = this.#host.sys.sendmsg(this.#fd, msgHdr(bytes), 0);
    // RACK tells a retransmission from what was sent before it by the time (RFC 8985 section 6.2).
    this.#host.machine.advance(WRITE_TIME);
    return sent;
  }

  shutdown(): number {
    return this.#host.sys.shutdown(this.#fd, SHUT_WR);
  }

  close(): void {
    must(this.#host.sys.close(this.#fd), "close");
  }

  abort(): void {
    must(this.#host.sys.setsockopt(this.#fd, SOL_SOCKET, SO_LINGER, 1, 0), "set SO_LINGER");
    this.close();
  }

  error(): number {
    return this.#host.sys.getsockopt(this.#fd, SOL_SOCKET, SO_ERROR);
  }
}

/**
 * Linux makes super-packets for every device, and cuts them in software at the last moment where the device cannot. Here
 * it is the device's choice, so the device says that it can, and they are cut on their way into it.
 */
function gsoInSoftware(dev: NetDevice): void {
  dev.net.wrapDevice(dev, (ops) => ({
    ...ops,
    startXmit(skb: SkBuff, dev: NetDevice, more: boolean): number {
      const features = dev.features;
      dev.features = 0;
      let list = validateXmit(skb, dev);
      dev.features = features;
      while (list !== null) {
        const next: SkBuff | null = list.next;
        list.next = null;
        ops.startXmit(list, dev, more || next !== null);
        list = next;
      }
      return NETDEV_TX_OK;
    },
  }));
  dev.features |= GSO;
}

/** netpath behind a channel. */
export class NetpathTcpHost implements TcpHost, Disposable {
  readonly machine: Machine = new Machine({ seed: 1, autoAdvance: false, debug: true, strict: true });
  readonly host: Host;
  readonly #channel: Channel;
  readonly #listener: number;

  constructor(scenario: TcpScenario) {
    const host = createHost({ machine: this.machine, name: "tcp" });
    this.host = host;
    for (const [name, value] of Object.entries({ ...TCP_SYSCTLS, ...scenario.sysctls })) {
      host.sysctl(`net.${name}`, value as number);
    }
    this.#channel = channel(host.net, "tap0", {
      mtu: scenario.mtu,
      address: HOST_MAC,
      txQueueLen: 10_000,
      limit: 1 << 20,
    });
    if (scenario.gso) gsoInSoftware(this.#channel.dev);
    host.addr.add("tap0", `${HOST_IP}/24`);
    for (let n = 2; n < 10; n++) host.neigh.set("tap0", `10.9.0.${n}`, peerMac(n));
    const { sys } = host;
    this.#listener = must(sys.socket(AF_INET, SOCK_STREAM, 0), "open a socket");
    must(sys.bind(this.#listener, 0, LISTEN_PORT), "bind");
    must(sys.listen(this.#listener, 1024), "listen");
    this.machine.advance(50 * MS);
    this.output();
  }

  input(frame: Uint8Array): void {
    inject(this.#channel, frame);
    this.machine.advance(INPUT_TIME);
  }

  output(): Uint8Array[] {
    const out: Uint8Array[] = [];
    for (let bytes = this.#channel.read(); bytes; bytes = this.#channel.read()) out.push(bytes);
    return out;
  }

  begin(): void {
    this.machine.advance(MS - this.machine.now % MS);
  }

  wait(ms: number): void {
    this.machine.advance(ms * MS);
  }

  accept(): HostSocket | undefined {
    const fd = this.host.sys.accept(this.#listener);
    return fd < 0 ? undefined : new NetpathSocket(this.host, fd);
  }

  connect(address: string, port: number): HostSocket {
    const { sys } = this.host;
    const fd = must(sys.socket(AF_INET, SOCK_STREAM, 0), "open a socket");
    must(sys.bind(fd, needIp(HOST_IP, "bind"), 0), "bind");
    const result = sys.connect(fd, needIp(address, "connect"), port);
    if (result !== 0 && result !== -EINPROGRESS) must(result, "connect");
    return new NetpathSocket(this.host, fd);
  }

  now(): number {
    return this.machine.now / MS;
  }

  /** Nobody listens any more. */
  closeListener(): void {
    must(this.host.sys.close(this.#listener), "close");
  }

  /** Ends it. A packet left over, or freed twice, is an Error. */
  [Symbol.dispose](): void {
    const { machine } = this;
    machine[Symbol.dispose]();
    const faults = machine.skbs.faults();
    if (faults.length > 0) throw new Error(`netpath handles packets wrongly: ${JSON.stringify(faults.slice(0, 5))}`);
    if (machine.skbs.live !== 0) throw new Error(`${machine.skbs.live} packets are left over`);
  }
}

/** What netpath answers to each case. */
export function runTcpNetpath(scenario: TcpScenario, cases: readonly TcpCase[]): TcpAnswers[] {
  using host = new NetpathTcpHost(scenario);
  return runCases(host, cases).answers;
}
