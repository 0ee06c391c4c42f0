/* A plugin of QEMU's that counts what an emulated machine executes, in four parts: the kernel, its modules, programs at
 * low addresses (linked statically: the tools of the proofs, busybox), and other programs and their libraries.
 *
 *   qemu-system-x86_64 -smp 1 -plugin counter.so,to=FILE ...
 *
 * At every mark (`tools measure` executes one before and one after) it appends a line to FILE:
 *
 *   KERNEL MODULES LOW OTHER  LOW-CALLS OTHER-CALLS  COPIED
 *
 * instructions, system calls (`syscall`), and octets that the kernel has copied with string instructions. Those
 * (`rep movs` and the like) are no instructions here: the emulator runs one of them as often as it has elements.
 * Blocks of instructions are counted when they begin, also if they are interrupted by a fault.
 *
 * Debian has no header for plugins. What is used of version 1 of the interface is declared here.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mark.h"

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t qemu_plugin_id_t;
enum { ADD_U64, NO_REGISTERS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
					   void (*translated)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int operation, void *to, uint64_t what);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *one, int operation, void *to, uint64_t what);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *one, void (*executed)(unsigned, void *),
					    int flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t at);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *one);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *one);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

enum part { KERNEL, MODULES, LOW, OTHER, PARTS };
static uint64_t instructions[PARTS], calls[PARTS], copied;
static FILE *file;

static enum part part_of(uint64_t address)
{
	/* Where Linux has its modules on x86-64: Documentation/x86/x86_64/mm.rst. */
	if (address >= 0xffffffffc0000000u)
		return MODULES;
	if (address >> 63)
		return KERNEL;
	return address >> 32 ? OTHER : LOW;
}

/* The octets that one step of a string instruction moves; 0 if it only compares or sets, -1 if it is another one. */
static int string_step(const uint8_t *code, size_t octets)
{
	bool repeated = false, wide = false, narrow = false;
	size_t at = 0;

	for (; at < octets; at++) {
		if (code[at] == 0xf2 || code[at] == 0xf3)
			repeated = true;
		else if (code[at] == 0x66)
			narrow = true;
		else if ((code[at] & 0xf0) == 0x40)
			wide = code[at] & 8;
		else
			break;
	}
	if (!repeated || at + 1 != octets)
		return -1;
	switch (code[at]) {
	case 0xa4:
		return 1;
	case 0xa5:
		return wide ? 8 : narrow ? 2 : 4;
	case 0xa6: case 0xa7: case 0xaa: case 0xab: case 0xac: case 0xad: case 0xae: case 0xaf:
		return 0;
	}
	return -1;
}

static void marked(unsigned processor, void *data)
{
	(void)processor, (void)data;
	fprintf(file, "%llu %llu %llu %llu %llu %llu %llu\n", (unsigned long long)instructions[KERNEL],
		(unsigned long long)instructions[MODULES], (unsigned long long)instructions[LOW],
		(unsigned long long)instructions[OTHER], (unsigned long long)calls[LOW],
		(unsigned long long)calls[OTHER], (unsigned long long)copied);
	fflush(file);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
	static const uint8_t mark[] = { MARK }, call[] = { 0x0f, 0x05 };
	enum part part = part_of(qemu_plugin_tb_vaddr(block));
	size_t count = qemu_plugin_tb_n_insns(block), plain = count;

	(void)id;
	for (size_t at = 0; at < count; at++) {
		struct qemu_plugin_insn *one = qemu_plugin_tb_get_insn(block, at);
		const uint8_t *code = qemu_plugin_insn_data(one);
		size_t octets = qemu_plugin_insn_size(one);
		int step = string_step(code, octets);

		if (step >= 0)
			plain--;
		if (step > 0 && part <= MODULES)
			qemu_plugin_register_vcpu_insn_exec_inline(one, ADD_U64, &copied, step);
		if (part >= LOW && octets == sizeof(call) && !memcmp(code, call, octets))
			qemu_plugin_register_vcpu_insn_exec_inline(one, ADD_U64, &calls[part], 1);
		if (octets == sizeof(mark) && !memcmp(code, mark, octets))
			qemu_plugin_register_vcpu_insn_exec_cb(one, marked, NO_REGISTERS, NULL);
	}
	if (plain)
		qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &instructions[part], plain);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int count, char **args)
{
	(void)info;
	if (count != 1 || strncmp(args[0], "to=", 3) || !(file = fopen(args[0] + 3, "w"))) {
		fprintf(stderr, "counter: to=FILE, one that can be written to\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
