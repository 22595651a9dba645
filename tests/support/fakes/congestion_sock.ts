/** A connection as a congestion control sees it, without a network: ACKs come as the test says. */
import type { Machine } from "../../../core/mod.ts";
import type { RateSample, TcpCongestionOps, TcpCongestionSock } from "../../../plugins/transport/tcp/contract.ts";
import type { Sock } from "../../../plugins/transport/sock/mod.ts";

const MSS = 1448;

/** See the top. */
export class FakeCongestionSock implements TcpCongestionSock {
  readonly sk: Sock;
  sndCwnd = 10;
  sndCwndCnt = 0;
  sndCwndClamp = 0x7fffffff;
  sndSsthresh = 0x7fffffff;
  priorCwnd = 0;
  isCwndLimited = true;
  packetsOut = 10;
  maxPacketsOut = 10;
  sackedOut = 0;
  lostOut = 0;
  retransOut = 0;
  delivered = 0;
  deliveredCe = 0;
  appLimited = 0;
  sndUna = 1;
  sndNxt = 1;
  srttUs = 0;
  mssCache = MSS;
  tcpMstamp = 1_000_000;
  icskCaState = 0;
  pacingRate = 0;
  skPacingRate = 0;
  lsndtime = 0;
  rttMinUs = -1;
  icskCaPriv: unknown = null;
  readonly #clock = { jiffies: 1000 };

  constructor(readonly ops: TcpCongestionOps) {
    const platform = { random: () => 1 };
    this.sk = { machine: Object.assign(this.#clock, { platform }) as unknown as Machine } as Sock;
    ops.init(this);
  }

  /** What the control's functions find as `this`: what its plugin registered. */
  private get self(): TcpCongestionOps {
    return (this.ops as TcpCongestionOps & { self?: TcpCongestionOps }).self ?? this.ops;
  }

  /** The clock goes on. */
  pass(us: number): void {
    this.tcpMstamp = (this.tcpMstamp + us) | 0;
    this.#clock.jiffies = Math.floor(this.tcpMstamp / 1000);
  }

  /** One ACK for `acked` packets, `rttUs` after they were sent; `out` were in flight, the window if not told. */
  ack(acked: number, rttUs: number, out = this.sndCwnd, appLimited = false): void {
    this.sndUna = (this.sndUna + acked * MSS) | 0;
    this.sndNxt = (this.sndUna + this.sndCwnd * MSS) | 0;
    this.delivered += acked;
    this.srttUs = rttUs << 3;
    this.packetsOut = this.maxPacketsOut = out;
    const { self } = this;
    this.ops.inAckEvent.call(self, this, 0);
    this.ops.pktsAcked.call(self, this, acked, rttUs);
    if (this.ops.congControl === null) this.ops.congAvoid.call(self, this, this.sndUna, acked);
    else this.ops.congControl(this, this.sndUna, 0, this.#sample(acked, rttUs, out, appLimited));
  }

  /** All that was in flight a round trip ago was delivered in it. */
  #sample(acked: number, rttUs: number, out: number, isAppLimited: boolean): RateSample {
    this.rttMinUs = this.rttMinUs < 0 ? rttUs : Math.min(this.rttMinUs, rttUs);
    return {
      priorDelivered: Math.max(0, this.delivered - out),
      delivered: acked === 0 ? -1 : Math.min(out, this.delivered),
      intervalUs: acked === 0 ? -1 : rttUs,
      rttUs,
      losses: 0,
      ackedSacked: acked,
      priorInFlight: out,
      priorMstamp: (this.tcpMstamp - rttUs) | 0,
      isAppLimited,
      isRetrans: false,
      isAckDelayed: false,
      lastEndSeq: this.sndUna,
    };
  }

  /** A window's worth of ACKs, all at the end of `rttUs`: a path that is far from full. */
  burst(rttUs: number, per = 1): void {
    const acks = Math.ceil(this.sndCwnd / per);
    this.pass(rttUs);
    for (let i = 0; i < acks; i++) this.ack(per, rttUs);
  }

  /** A window's worth of ACKs, spread over `rttUs`; each acknowledges `per` packets. */
  round(rttUs: number, per = 1): void {
    const acks = Math.ceil(this.sndCwnd / per);
    for (let i = 0; i < acks; i++) {
      this.pass(rttUs / acks);
      this.ack(per, rttUs);
    }
  }

  /** A loss, by duplicates (state 3) or by timeout (4), and its end. */
  lose(state: 3 | 4): void {
    this.priorCwnd = this.sndCwnd;
    this.sndSsthresh = this.ops.ssthresh(this);
    if (state === 4) this.ops.cwndEvent.call(this.self, this, 3);
    this.ops.setState(this, this.icskCaState = state);
    this.sndCwndCnt = 0;
    this.sndCwnd = state === 4 ? 1 : this.sndSsthresh;
    if (state === 3) this.ops.cwndEvent.call(this.self, this, 2);
    this.ops.setState(this, this.icskCaState = 0);
  }
}
