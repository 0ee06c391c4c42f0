/* An instruction that does nothing and that no compiler writes. `tools measure` marks with it what counter.c counts. */
#define MARK 0x0f, 0x1f, 0x80, 'M', 'a', 'r', 'k'
