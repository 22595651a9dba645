/**
 * The capture file's own headers. Source: draft-ietf-opsawg-pcap, sections 4 and 5.
 *
 * @module
 */

/** Magic number: timestamps in microseconds. */
export const PCAP_MAGIC_MICRO = 0xa1b2c3d4;
/** Magic number: timestamps in nanoseconds. */
export const PCAP_MAGIC_NANO = 0xa1b23c4d;
/** Bytes of the file header. */
export const PCAP_FILE_HEADER = 24;
/** Bytes of a record's header. */
export const PCAP_RECORD_HEADER = 16;
/** Link type: Ethernet. */
export const LINKTYPE_ETHERNET = 1;
/** Link type: the packet begins with its IP header. */
export const LINKTYPE_RAW = 101;
/** Bytes kept of a frame unless told otherwise: what tcpdump takes. */
export const PCAP_SNAPLEN = 262144;

/** Writes a file header of version 2.4 at `at`, little-endian. */
export function putFileHeader(view: DataView, at: number, magic: number, snaplen: number, linkType: number): void {
  view.setUint32(at, magic, true);
  view.setUint16(at + 4, 2, true);
  view.setUint16(at + 6, 4, true);
  view.setUint32(at + 8, 0, true);
  view.setUint32(at + 12, 0, true);
  view.setUint32(at + 16, snaplen, true);
  view.setUint32(at + 20, linkType, true);
}

/** Writes a record's header at `at`; `fraction` in the file's resolution. */
export function putRecordHeader(
  view: DataView,
  at: number,
  seconds: number,
  fraction: number,
  kept: number,
  length: number,
): void {
  view.setUint32(at, seconds, true);
  view.setUint32(at + 4, fraction, true);
  view.setUint32(at + 8, kept, true);
  view.setUint32(at + 12, length, true);
}
