;; Counts. A message is an integer of one byte (0 to 23 in dag-cbor), which is added; the sum, below 256, is the answer.
;; The sum is a global: that is all it takes for it to outlive everything.
(module
  (import "everturn" "input" (func $input (param $into i32) (param $offset i32) (param $room i32) (result i32)))
  (import "everturn" "answer" (func $answer (param $data i32) (param $len i32) (result i32)))
  (import "everturn" "throw" (func $throw (param $text i32) (param $len i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "not a number from 0 to 23")
  (global $sum (mut i32) (i32.const 0))

  (func (export "everturn_message") (param $len i32)
    (local $n i32)
    (drop (call $input (i32.const 0) (i32.const 0) (i32.const 1)))
    (local.set $n (i32.load8_u (i32.const 0)))
    (if (i32.or (i32.ne (local.get $len) (i32.const 1)) (i32.gt_u (local.get $n) (i32.const 23)))
      (then (call $throw (i32.const 16) (i32.const 25))))
    (global.set $sum (i32.and (i32.add (global.get $sum) (local.get $n)) (i32.const 255)))
    ;; An integer from 24 on has a head of its own: 0x18, then one byte. The shortest form is the only one.
    (if (i32.lt_u (global.get $sum) (i32.const 24))
      (then
        (i32.store8 (i32.const 0) (global.get $sum))
        (drop (call $answer (i32.const 0) (i32.const 1))))
      (else
        (i32.store8 (i32.const 0) (i32.const 0x18))
        (i32.store8 (i32.const 1) (global.get $sum))
        (drop (call $answer (i32.const 0) (i32.const 2)))))))
