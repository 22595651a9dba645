// A plugin for a lab file: nobody reaches UDP port `options.port`. See custom_plugin.yaml.
import { NF_ACCEPT, NF_DROP, NF_INET_LOCAL_IN, nfRegisterNetHook, type Plugin } from "@netpath/stack";
import { Ipv4Header } from "@netpath/stack/ipv4";
import { UdpHeader } from "@netpath/stack/udp";

export default (options: { port: number }): Plugin => ({
  name: "close-port",
  api: 1,
  setup: (net) =>
    nfRegisterNetHook(net, {
      name: `close-${options.port}`,
      hook: NF_INET_LOCAL_IN,
      fn: (skb) => {
        const { protocol, hlen } = new Ipv4Header(skb.view, skb.networkHeader);
        if (protocol !== 17 || !skb.mayPull(hlen + 8)) return NF_ACCEPT;
        return new UdpHeader(skb.view, skb.networkHeader + hlen).dest === options.port ? NF_DROP : NF_ACCEPT;
      },
    }),
});
