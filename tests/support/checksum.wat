;; The byte work of netpath that JavaScript does slower: Internet checksum, copy, both in one pass, Ethernet FCS.
;;
;; An instance works on one slab: the memory is imported, nothing in it belongs to this module. Every function touches
;; exactly the bytes it is given, so a range may end where the memory ends; a range that goes past it traps.
;;
;; Sums are one's complement sums of 16-bit words in little-endian order (RFC 1071, section 2(B): byte order does not
;; matter to the sum, so the caller swaps the two bytes once). An odd last byte counts as the low byte of a last word.
;; `initial` is any partial sum in the same order, up to 32 bits; results are folded to 16 bits and not complemented.
;;
;; Build: deno task wasm
(module
  (import "env" "memory" (memory 1))

  ;; 64 -> 16 bits with end-around carry.
  (func $fold (param $s i64) (result i32)
    (local.set $s (i64.add (i64.and (local.get $s) (i64.const 0xffffffff)) (i64.shr_u (local.get $s) (i64.const 32))))
    (local.set $s (i64.add (i64.and (local.get $s) (i64.const 0xffffffff)) (i64.shr_u (local.get $s) (i64.const 32))))
    (local.set $s (i64.add (i64.and (local.get $s) (i64.const 0xffff)) (i64.shr_u (local.get $s) (i64.const 16))))
    (local.set $s (i64.add (i64.and (local.get $s) (i64.const 0xffff)) (i64.shr_u (local.get $s) (i64.const 16))))
    (local.set $s (i64.add (i64.and (local.get $s) (i64.const 0xffff)) (i64.shr_u (local.get $s) (i64.const 16))))
    (i32.wrap_i64 (local.get $s)))

  ;; The four signed 32-bit lanes, added as 64 bits.
  (func $lanes (param $v v128) (result i64)
    (local.set $v (i64x2.add
      (i64x2.extend_low_i32x4_s (local.get $v))
      (i64x2.extend_high_i32x4_s (local.get $v))))
    (i64.add (i64x2.extract_lane 0 (local.get $v)) (i64x2.extract_lane 1 (local.get $v))))

  ;; What was taken off the n bytes, as far as they were added 16 at a time, and `initial`. See $csum_block.
  (func $unbias (param $n i32) (param $initial i32) (result i64)
    (i64.add (i64.extend_i32_u (local.get $initial))
      (i64.shl (i64.extend_i32_u (i32.and (local.get $n) (i32.const -16))) (i64.const 14))))

  ;; Adds the last n < 16 bytes to s.
  (func $tail (param $p i32) (param $n i32) (param $s i64) (result i64)
    (if (i32.and (local.get $n) (i32.const 8)) (then
      (local.set $s (i64.add (local.get $s) (i64.load32_u align=1 (local.get $p))))
      (local.set $s (i64.add (local.get $s) (i64.load32_u offset=4 align=1 (local.get $p))))
      (local.set $p (i32.add (local.get $p) (i32.const 8)))))
    (if (i32.and (local.get $n) (i32.const 4)) (then
      (local.set $s (i64.add (local.get $s) (i64.load32_u align=1 (local.get $p))))
      (local.set $p (i32.add (local.get $p) (i32.const 4)))))
    (if (i32.and (local.get $n) (i32.const 2)) (then
      (local.set $s (i64.add (local.get $s) (i64.load16_u align=1 (local.get $p))))
      (local.set $p (i32.add (local.get $p) (i32.const 2)))))
    (if (i32.and (local.get $n) (i32.const 1)) (then
      (local.set $s (i64.add (local.get $s) (i64.load8_u (local.get $p))))))
    (local.get $s))

  ;; One block. Words are added in signed pairs, for which x86 and ARM have one instruction, after 0x8000 was taken off
  ;; each: 2^14 per byte are owed at the end. A lane takes at most 2 * 0x8000 per 16 bytes, and the four accumulators are
  ;; added before they are widened: they overflow beyond 512 KiB, hence the blocks of 256 KiB in the exports.
  (func $csum_block (param $p i32) (param $n i32) (param $initial i32) (result i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $bias v128) (local $ones v128) (local $m i32)
    (local.set $bias (v128.const i16x8 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000))
    (local.set $ones (v128.const i16x8 1 1 1 1 1 1 1 1))
    (local.set $m (local.get $n))
    (if (i32.ge_u (local.get $n) (i32.const 64)) (then
      (loop $by64
        (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s
          (v128.xor (v128.load align=1 (local.get $p)) (local.get $bias)) (local.get $ones))))
        (local.set $b (i32x4.add (local.get $b) (i32x4.dot_i16x8_s
          (v128.xor (v128.load offset=16 align=1 (local.get $p)) (local.get $bias)) (local.get $ones))))
        (local.set $c (i32x4.add (local.get $c) (i32x4.dot_i16x8_s
          (v128.xor (v128.load offset=32 align=1 (local.get $p)) (local.get $bias)) (local.get $ones))))
        (local.set $d (i32x4.add (local.get $d) (i32x4.dot_i16x8_s
          (v128.xor (v128.load offset=48 align=1 (local.get $p)) (local.get $bias)) (local.get $ones))))
        (local.set $p (i32.add (local.get $p) (i32.const 64)))
        (local.set $n (i32.sub (local.get $n) (i32.const 64)))
        (br_if $by64 (i32.ge_u (local.get $n) (i32.const 64))))))
    (if (i32.ge_u (local.get $n) (i32.const 16)) (then
      (loop $by16
        (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s
          (v128.xor (v128.load align=1 (local.get $p)) (local.get $bias)) (local.get $ones))))
        (local.set $p (i32.add (local.get $p) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 16)))
        (br_if $by16 (i32.ge_u (local.get $n) (i32.const 16))))))
    (call $fold (call $tail (local.get $p) (local.get $n)
      (i64.add (call $unbias (local.get $m) (local.get $initial))
        (call $lanes (i32x4.add (i32x4.add (local.get $a) (local.get $b)) (i32x4.add (local.get $c) (local.get $d))))))))

  ;; csum(ptr, len, initial) -> sum. One function for one block, as a call costs as much as 64 bytes.
  (func $csum (export "csum") (param $p i32) (param $n i32) (param $initial i32) (result i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128) (local $s i64)
    (local $bias v128) (local $ones v128) (local $m i32)
    (local.set $bias (v128.const i16x8 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000))
    (local.set $ones (v128.const i16x8 1 1 1 1 1 1 1 1))
    (if (i32.gt_u (local.get $n) (i32.const 0x40000)) (then
      (loop $blocks
        (local.set $initial (call $csum_block (local.get $p) (i32.const 0x40000) (local.get $initial)))
        (local.set $p (i32.add (local.get $p) (i32.const 0x40000)))
        (local.set $n (i32.sub (local.get $n) (i32.const 0x40000)))
        (br_if $blocks (i32.gt_u (local.get $n) (i32.const 0x40000))))))
    (local.set $m (local.get $n))
    (if (i32.ge_u (local.get $n) (i32.const 64)) (then
      (loop $by64
        (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s
          (v128.xor (v128.load align=1 (local.get $p)) (local.get $bias)) (local.get $ones))))
        (local.set $b (i32x4.add (local.get $b) (i32x4.dot_i16x8_s
          (v128.xor (v128.load offset=16 align=1 (local.get $p)) (local.get $bias)) (local.get $ones))))
        (local.set $c (i32x4.add (local.get $c) (i32x4.dot_i16x8_s
          (v128.xor (v128.load offset=32 align=1 (local.get $p)) (local.get $bias)) (local.get $ones))))
        (local.set $d (i32x4.add (local.get $d) (i32x4.dot_i16x8_s
          (v128.xor (v128.load offset=48 align=1 (local.get $p)) (local.get $bias)) (local.get $ones))))
        (local.set $p (i32.add (local.get $p) (i32.const 64)))
        (local.set $n (i32.sub (local.get $n) (i32.const 64)))
        (br_if $by64 (i32.ge_u (local.get $n) (i32.const 64))))
      (local.set $a (i32x4.add (i32x4.add (local.get $a) (local.get $b)) (i32x4.add (local.get $c) (local.get $d))))))
    (if (i32.ge_u (local.get $n) (i32.const 16)) (then
      (loop $by16
        (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s
          (v128.xor (v128.load align=1 (local.get $p)) (local.get $bias)) (local.get $ones))))
        (local.set $p (i32.add (local.get $p) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 16)))
        (br_if $by16 (i32.ge_u (local.get $n) (i32.const 16))))))
    (local.set $a (i64x2.add
      (i64x2.extend_low_i32x4_s (local.get $a))
      (i64x2.extend_high_i32x4_s (local.get $a))))
    (local.set $s (i64.add
      (i64.add (i64x2.extract_lane 0 (local.get $a)) (i64x2.extract_lane 1 (local.get $a)))
      (i64.add (i64.extend_i32_u (local.get $initial))
        (i64.shl (i64.extend_i32_u (i32.and (local.get $m) (i32.const -16))) (i64.const 14)))))
    (if (i32.and (local.get $n) (i32.const 8)) (then
      (local.set $s (i64.add (local.get $s) (i64.load32_u align=1 (local.get $p))))
      (local.set $s (i64.add (local.get $s) (i64.load32_u offset=4 align=1 (local.get $p))))
      (local.set $p (i32.add (local.get $p) (i32.const 8)))))
    (if (i32.and (local.get $n) (i32.const 4)) (then
      (local.set $s (i64.add (local.get $s) (i64.load32_u align=1 (local.get $p))))
      (local.set $p (i32.add (local.get $p) (i32.const 4)))))
    (if (i32.and (local.get $n) (i32.const 2)) (then
      (local.set $s (i64.add (local.get $s) (i64.load16_u align=1 (local.get $p))))
      (local.set $p (i32.add (local.get $p) (i32.const 2)))))
    (if (i32.and (local.get $n) (i32.const 1)) (then
      (local.set $s (i64.add (local.get $s) (i64.load8_u (local.get $p))))))
    ;; Below 2^37: three parts of 16 bits, then twice with end-around carry.
    (local.set $s (i64.add
      (i64.add (i64.and (local.get $s) (i64.const 0xffff)) (i64.shr_u (local.get $s) (i64.const 32)))
      (i64.and (i64.shr_u (local.get $s) (i64.const 16)) (i64.const 0xffff))))
    (local.set $s (i64.add (i64.and (local.get $s) (i64.const 0xffff)) (i64.shr_u (local.get $s) (i64.const 16))))
    (i32.wrap_i64
      (i64.add (i64.and (local.get $s) (i64.const 0xffff)) (i64.shr_u (local.get $s) (i64.const 16)))))

  ;; Copies n < 16 bytes. Everything is read before anything is written, so an overlap does no harm.
  (func $copy_tail (param $q i32) (param $p i32) (param $n i32)
    (local $x i64) (local $y i64) (local $z i32) (local $b i32)
    (if (i32.ge_u (local.get $n) (i32.const 8)) (then
      (local.set $b (i32.sub (local.get $n) (i32.const 8)))
      (local.set $x (i64.load align=1 (local.get $p)))
      (local.set $y (i64.load align=1 (i32.add (local.get $p) (local.get $b))))
      (i64.store align=1 (local.get $q) (local.get $x))
      (i64.store align=1 (i32.add (local.get $q) (local.get $b)) (local.get $y))
      (return)))
    (if (i32.ge_u (local.get $n) (i32.const 4)) (then
      (local.set $b (i32.sub (local.get $n) (i32.const 4)))
      (local.set $x (i64.load32_u align=1 (local.get $p)))
      (local.set $y (i64.load32_u align=1 (i32.add (local.get $p) (local.get $b))))
      (i64.store32 align=1 (local.get $q) (local.get $x))
      (i64.store32 align=1 (i32.add (local.get $q) (local.get $b)) (local.get $y))
      (return)))
    ;; 0..3 bytes: the first, the middle and the last, which may be the same.
    (if (local.get $n) (then
      (local.set $x (i64.load8_u (local.get $p)))
      (local.set $b (i32.shr_u (local.get $n) (i32.const 1)))
      (local.set $z (i32.load8_u (i32.add (local.get $p) (local.get $b))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (local.set $y (i64.load8_u (i32.add (local.get $p) (local.get $n))))
      (i64.store8 (local.get $q) (local.get $x))
      (i32.store8 (i32.add (local.get $q) (local.get $b)) (local.get $z))
      (i64.store8 (i32.add (local.get $q) (local.get $n)) (local.get $y)))))

  (func $copy_csum_block (param $q i32) (param $p i32) (param $n i32) (param $initial i32) (result i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128) (local $x v128) (local $s i64)
    (local $bias v128) (local $ones v128) (local $m i32)
    (local.set $bias (v128.const i16x8 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000))
    (local.set $ones (v128.const i16x8 1 1 1 1 1 1 1 1))
    (local.set $m (local.get $n))
    (if (i32.ge_u (local.get $n) (i32.const 64)) (then
      (loop $by64
        (local.set $x (v128.load align=1 (local.get $p)))
        (v128.store align=1 (local.get $q) (local.get $x))
        (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s
          (v128.xor (local.get $x) (local.get $bias)) (local.get $ones))))
        (local.set $x (v128.load offset=16 align=1 (local.get $p)))
        (v128.store offset=16 align=1 (local.get $q) (local.get $x))
        (local.set $b (i32x4.add (local.get $b) (i32x4.dot_i16x8_s
          (v128.xor (local.get $x) (local.get $bias)) (local.get $ones))))
        (local.set $x (v128.load offset=32 align=1 (local.get $p)))
        (v128.store offset=32 align=1 (local.get $q) (local.get $x))
        (local.set $c (i32x4.add (local.get $c) (i32x4.dot_i16x8_s
          (v128.xor (local.get $x) (local.get $bias)) (local.get $ones))))
        (local.set $x (v128.load offset=48 align=1 (local.get $p)))
        (v128.store offset=48 align=1 (local.get $q) (local.get $x))
        (local.set $d (i32x4.add (local.get $d) (i32x4.dot_i16x8_s
          (v128.xor (local.get $x) (local.get $bias)) (local.get $ones))))
        (local.set $p (i32.add (local.get $p) (i32.const 64)))
        (local.set $q (i32.add (local.get $q) (i32.const 64)))
        (local.set $n (i32.sub (local.get $n) (i32.const 64)))
        (br_if $by64 (i32.ge_u (local.get $n) (i32.const 64))))))
    (if (i32.ge_u (local.get $n) (i32.const 16)) (then
      (loop $by16
        (local.set $x (v128.load align=1 (local.get $p)))
        (v128.store align=1 (local.get $q) (local.get $x))
        (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s
          (v128.xor (local.get $x) (local.get $bias)) (local.get $ones))))
        (local.set $p (i32.add (local.get $p) (i32.const 16)))
        (local.set $q (i32.add (local.get $q) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 16)))
        (br_if $by16 (i32.ge_u (local.get $n) (i32.const 16))))))
    (local.set $s (call $tail (local.get $p) (local.get $n)
      (i64.add (call $unbias (local.get $m) (local.get $initial))
        (call $lanes (i32x4.add (i32x4.add (local.get $a) (local.get $b)) (i32x4.add (local.get $c) (local.get $d)))))))
    (call $copy_tail (local.get $q) (local.get $p) (local.get $n))
    (call $fold (local.get $s)))

  ;; copy_csum(dst, src, len, initial) -> sum of the source
  (func (export "copy_csum") (param $q i32) (param $p i32) (param $n i32) (param $initial i32) (result i32)
    ;; Going forward, a destination that starts inside the source would eat bytes still to be read.
    (if (i32.lt_u (i32.sub (local.get $q) (local.get $p)) (local.get $n)) (then
      (local.set $initial (call $csum (local.get $p) (local.get $n) (local.get $initial)))
      (memory.copy (local.get $q) (local.get $p) (local.get $n))
      (return (local.get $initial))))
    (if (i32.gt_u (local.get $n) (i32.const 0x40000)) (then
      (loop $blocks
        (local.set $initial (call $copy_csum_block
          (local.get $q) (local.get $p) (i32.const 0x40000) (local.get $initial)))
        (local.set $p (i32.add (local.get $p) (i32.const 0x40000)))
        (local.set $q (i32.add (local.get $q) (i32.const 0x40000)))
        (local.set $n (i32.sub (local.get $n) (i32.const 0x40000)))
        (br_if $blocks (i32.gt_u (local.get $n) (i32.const 0x40000))))))
    (call $copy_csum_block (local.get $q) (local.get $p) (local.get $n) (local.get $initial)))

  ;; copy(dst, src, len), right for overlapping ranges too. memory.copy is a call out of the module: dear when short.
  (func (export "copy") (param $q i32) (param $p i32) (param $n i32)
    (local $last v128) (local $end i32)
    (if (i32.lt_u (local.get $n) (i32.const 16)) (then
      (call $copy_tail (local.get $q) (local.get $p) (local.get $n))
      (return)))
    (if (i32.or
          (i32.ge_u (local.get $n) (i32.const 512))
          (i32.lt_u (i32.sub (local.get $q) (local.get $p)) (local.get $n))) (then
      (memory.copy (local.get $q) (local.get $p) (local.get $n))
      (return)))
    ;; The last 16 bytes are read first and written last, over what the loop left there.
    (local.set $end (i32.sub (i32.add (local.get $q) (local.get $n)) (i32.const 16)))
    (local.set $last (v128.load align=1 (i32.sub (i32.add (local.get $p) (local.get $n)) (i32.const 16))))
    (if (i32.lt_u (local.get $q) (local.get $end)) (then
      (loop $by16
        (v128.store align=1 (local.get $q) (v128.load align=1 (local.get $p)))
        (local.set $p (i32.add (local.get $p) (i32.const 16)))
        (local.set $q (i32.add (local.get $q) (i32.const 16)))
        (br_if $by16 (i32.lt_u (local.get $q) (local.get $end))))))
    (v128.store align=1 (local.get $end) (local.get $last)))

  ;; crc32(ptr, len, initial) -> crc: IEEE 802.3, reflected polynomial 0xedb88320. `initial` is 0 or the crc of what came
  ;; before. Bit by bit, for there is no memory of our own to keep a table in; a table in JavaScript is three times as fast.
  (func (export "crc32") (param $p i32) (param $n i32) (param $initial i32) (result i32)
    (local $c i32) (local $k i32)
    (local.set $c (i32.xor (local.get $initial) (i32.const -1)))
    (block $done
      (br_if $done (i32.eqz (local.get $n)))
      (loop $bytes
        (local.set $c (i32.xor (local.get $c) (i32.load8_u (local.get $p))))
        (local.set $k (i32.const 8))
        (loop $bits
          (local.set $c (i32.xor
            (i32.shr_u (local.get $c) (i32.const 1))
            (i32.and (i32.const 0xedb88320) (i32.sub (i32.const 0) (i32.and (local.get $c) (i32.const 1))))))
          (br_if $bits (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
        (local.set $p (i32.add (local.get $p) (i32.const 1)))
        (br_if $bytes (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (i32.xor (local.get $c) (i32.const -1)))
)
