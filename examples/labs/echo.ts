// An application for a lab file: answers datagrams on `options.ports` with what they hold. See custom_plugin.yaml.
import type { Host } from "@netpath/stack";

export default async (host: Host, { options }: { options: { ports: number[] } }): Promise<void> => {
  await Promise.all(options.ports.map(async (port) => {
    using socket = host.listenDatagram({ port });
    for await (const [data, from] of socket) await socket.send(data, from);
  }));
};
