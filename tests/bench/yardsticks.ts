/** What the same machine does without netpath: every figure is compared with these, run in the same minute. */
import { nsPer, perSecond } from "./measure.ts";
import type { Row } from "./row.ts";

/** Deno's own UDP over the kernel's loopback, datagrams of 64 bytes, sent and received by one process. */
async function loopbackUdp(rounds: number): Promise<number[]> {
  const rx = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const tx = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const payload = new Uint8Array(64), into = new Uint8Array(2048);
  const burst = async (ms: number): Promise<number> => {
    let n = 0;
    const start = performance.now();
    while (performance.now() - start < ms) {
      for (let i = 0; i < 32; i++) {
        await tx.send(payload, rx.addr);
        await rx.receive(into);
      }
      n += 32;
    }
    return n / ((performance.now() - start) / 1000);
  };
  await burst(300);
  const samples: number[] = [];
  for (let i = 0; i < rounds; i++) samples.push(await burst(150));
  rx.close();
  tx.close();
  return samples;
}

/** Request and response of one byte over the kernel's loopback, by Deno's UDP. */
async function loopbackRr(rounds: number): Promise<number[]> {
  const server = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const client = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const one = new Uint8Array(1), a = new Uint8Array(64), b = new Uint8Array(64);
  const burst = async (ms: number): Promise<number> => {
    let n = 0;
    const start = performance.now();
    while (performance.now() - start < ms) {
      await client.send(one, server.addr);
      const [, from] = await server.receive(a);
      await server.send(one, from);
      await client.receive(b);
      n++;
    }
    return n / ((performance.now() - start) / 1000);
  };
  await burst(300);
  const samples: number[] = [];
  for (let i = 0; i < rounds; i++) samples.push(await burst(150));
  server.close();
  client.close();
  return samples;
}

/** A connection over the kernel's loopback, by Deno. */
async function loopbackConn(): Promise<{ client: Deno.TcpConn; server: Deno.TcpConn }> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const [server, client] = await Promise.all([listener.accept(), Deno.connect({ hostname: "127.0.0.1", port })]);
  client.setNoDelay(true);
  server.setNoDelay(true);
  return { client, server };
}

/** Samples of `burst`, which does what it does for so many ms and gives a rate. */
async function sampled(rounds: number, burst: (ms: number) => Promise<number>): Promise<number[]> {
  await burst(300);
  const samples: number[] = [];
  for (let i = 0; i < rounds; i++) samples.push(await burst(150));
  return samples;
}

/** One process writes and reads 64 KiB at a time over the kernel's loopback, Gbit/s. */
async function loopbackBulk(rounds: number): Promise<number[]> {
  const { client, server } = await loopbackConn();
  const chunk = new Uint8Array(65536), into = new Uint8Array(65536);
  const samples = await sampled(rounds, async (ms) => {
    let bytes = 0;
    const start = performance.now();
    while (performance.now() - start < ms) {
      const writing = client.write(chunk);
      bytes += await server.read(into) ?? 0;
      await writing;
    }
    return bytes * 8 / 1e6 / (performance.now() - start);
  });
  client.close();
  server.close();
  return samples;
}

/** Request and response of one byte over the kernel's loopback, by Deno's TCP. */
async function loopbackTcpRr(rounds: number): Promise<number[]> {
  const { client, server } = await loopbackConn();
  const one = new Uint8Array(1), into = new Uint8Array(64);
  const samples = await sampled(rounds, async (ms) => {
    let n = 0;
    const start = performance.now();
    while (performance.now() - start < ms) {
      await client.write(one);
      await server.read(into);
      await server.write(one);
      await client.read(into);
      n++;
    }
    return n / ((performance.now() - start) / 1000);
  });
  client.close();
  server.close();
  return samples;
}

/** Connect, accept, close both, over the kernel's loopback. */
async function loopbackCrr(rounds: number): Promise<number[]> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  return await sampled(rounds, async (ms) => {
    let n = 0;
    const start = performance.now();
    while (performance.now() - start < ms) {
      const [server, client] = await Promise.all([listener.accept(), Deno.connect({ hostname: "127.0.0.1", port })]);
      client.close();
      server.close();
      n++;
    }
    return n / ((performance.now() - start) / 1000);
  });
}

/** The yardsticks by name. */
export const yardsticks: Record<string, Row> = {
  "yard.memcpy": {
    unit: "ns per 1500 bytes",
    device: "none",
    run: (rounds) => {
      const from = new Uint8Array(1500), to = new Uint8Array(1 << 20);
      return nsPer(rounds, () => {
        for (let i = 0; i < 512; i++) to.set(from, (i & 511) << 11);
        return 512;
      });
    },
  },
  "yard.csum": {
    unit: "ns per 1500 bytes",
    device: "none",
    run: (rounds) => {
      const view = new DataView(new ArrayBuffer(2048));
      let sum = 0;
      const samples = perSecond(rounds, () => {
        for (let k = 0; k < 64; k++) for (let i = 0; i < 1500; i += 4) sum = (sum + view.getUint32(i)) | 0;
        return 64;
      }).map((rate) => 1e9 / rate);
      if (sum !== 0) throw new Error("the sum of zeros is zero");
      return samples;
    },
  },
  "yard.loopback.udp": { unit: "packets/s", device: "kernel lo", run: loopbackUdp },
  "yard.loopback.bulk": { unit: "Gbit/s", device: "kernel lo", run: loopbackBulk },
  "yard.loopback.rr": { unit: "transactions/s", device: "kernel lo", run: loopbackTcpRr },
  "yard.loopback.crr": { unit: "connections/s", device: "kernel lo", run: loopbackCrr },
  "yard.loopback.udp.rr": { unit: "transactions/s", device: "kernel lo", run: loopbackRr },
};
