// A congestion control of the user's own for a lab file: an eighth of the window for a loss, half a segment more for each
// that is acknowledged. See long_fat_link.yaml.
import type { Plugin } from "@netpath/stack";
import { tcpRegisterCongestionControl } from "@netpath/stack/tcp";

export default (): Plugin => ({
  name: "greedy",
  api: 1,
  setup: (net) =>
    tcpRegisterCongestionControl(net, {
      name: "greedy",
      congAvoid(tp, _ack, acked) {
        tp.sndCwndCnt += acked;
        const more = tp.sndCwndCnt >> 1;
        tp.sndCwnd = Math.min(tp.sndCwnd + more, tp.sndCwndClamp);
        tp.sndCwndCnt -= 2 * more;
      },
      ssthresh: (tp) => Math.max(2, tp.sndCwnd - (tp.sndCwnd >> 3)),
    }),
});
