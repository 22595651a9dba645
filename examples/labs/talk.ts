// An application for a lab file: sends one datagram to each of `options.ports` of `options.to`, and waits for the answers
// on those of `options.answered`. See custom_plugin.yaml.
import type { Host } from "@netpath/stack";

type Options = { to: string; ports: number[]; answered: number[] };

export default async (host: Host, { options }: { options: Options }): Promise<void> => {
  using socket = host.listenDatagram({ port: 4000 });
  for (const port of options.ports) {
    await socket.send(new TextEncoder().encode(`to ${port}`), { transport: "udp", hostname: options.to, port });
  }
  for (const port of options.answered) {
    const [data] = await socket.receive();
    if (new TextDecoder().decode(data) !== `to ${port}`) throw new Error(`port ${port} did not answer`);
  }
};
