/* An engine between two hosts that a few lines of C play: a handshake, a segment that its receiver acknowledges,
 * and one that the engine acknowledges at once, keeps, and sends again when nothing comes back.
 *
 *   localack-kmod/ffi/example/run
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "localack.h"

enum { SYN = 2, RST = 4, ACK = 16, HEADERS = 40, PAYLOAD = 500 };

#define CHECK(what) do { if (!(what)) { fprintf(stderr, "exchange: %s does not hold\n", #what); exit(1); } } while (0)

static void put16(uint8_t *at, uint16_t value) { at[0] = value >> 8; at[1] = value & 255; }
static void put32(uint8_t *at, uint32_t value) { put16(at, value >> 16); put16(at + 2, value & 65535); }
static uint32_t get32(const uint8_t *at) { return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]; }

/* What came out of the engine. */
struct seen {
	unsigned packets, local_acks, data, resets, adopted, given_up;
	uint32_t last_ack, last_seq, lost;
	size_t last_length;
};

static bool transmit(void *context, struct localack_packet *packet)
{
	struct seen *seen = context;
	struct localack_packet_info info;
	struct localack_part part;
	uint8_t octets[2048];
	const char *name;
	size_t length = 0, name_length;

	localack_packet_info(packet, &info);
	while (localack_packet_part(packet, &part)) {
		CHECK(length + part.length <= sizeof(octets));
		memcpy(octets + length, part.data, part.length);
		length += part.length;
	}
	CHECK(length == info.length && info.headers <= info.length && octets[0] == 0x45);
	name = localack_packet_kind_name(info.kind, &name_length);
	printf("  the engine sends %.*s to the %s side: %zu octets, seq %u, ack %u\n", (int)name_length, name,
	       info.side == LOCALACK_INNER ? "inner" : "outer", length, get32(octets + 24), get32(octets + 28));
	seen->packets++;
	seen->local_acks += info.side == LOCALACK_INNER && !strncmp(name, "local-ack", name_length);
	seen->data += info.side == LOCALACK_OUTER && length > HEADERS;
	seen->resets += (octets[33] & RST) != 0;
	seen->last_ack = get32(octets + 28);
	seen->last_seq = get32(octets + 24);
	seen->last_length = length;
	return true;
}

static void news(void *context, uint64_t now_us, const struct localack_news *news)
{
	struct seen *seen = context;

	(void)now_us;
	seen->adopted += news->kind == LOCALACK_ADOPTED;
	seen->given_up += news->kind == LOCALACK_GIVEN_UP;
	seen->lost += news->octets;
}

/* A segment from the inner host (192.0.2.1:40000) or the outer one (203.0.113.1:443). */
static size_t segment(uint8_t *packet, uint8_t side, uint32_t seq, uint32_t ack, uint8_t flags, size_t payload)
{
	static const uint8_t hosts[2][4] = { { 192, 0, 2, 1 }, { 203, 0, 113, 1 } };
	static const uint16_t ports[2] = { 40000, 443 };
	uint32_t sum = 0;

	memset(packet, 'x', HEADERS + payload);
	memset(packet, 0, HEADERS);
	packet[0] = 0x45;
	put16(packet + 2, HEADERS + payload);
	packet[6] = 0x40;
	packet[8] = 64;
	packet[9] = 6;
	memcpy(packet + 12, hosts[side], 4);
	memcpy(packet + 16, hosts[!side], 4);
	for (int at = 0; at < 20; at += 2)
		sum += packet[at] << 8 | packet[at + 1];
	sum = (sum & 65535) + (sum >> 16);
	put16(packet + 10, ~(sum + (sum >> 16)));
	put16(packet + 20, ports[side]);
	put16(packet + 22, ports[!side]);
	put32(packet + 24, seq);
	put32(packet + 28, ack);
	packet[32] = 0x50;
	packet[33] = flags;
	put16(packet + 34, 8000);
	return HEADERS + payload;
}

static struct localack_engine *engine;
static uint64_t now_us = 1000;

/* Gives the engine a segment, and time to do what follows. */
static uint8_t say(uint8_t side, uint32_t seq, uint32_t ack, uint8_t flags, size_t payload)
{
	/* Whoever sends it on would complete its checksum, as a kernel does. */
	const struct localack_meta meta = { .checksum = LOCALACK_CHECKSUM_PARTIAL };
	uint8_t packet[HEADERS + PAYLOAD];
	size_t length = segment(packet, side, seq, ack, flags, payload);
	struct localack_verdict verdict;

	now_us += 1000;
	verdict = localack_ingest(engine, side, now_us, packet, length, &meta);
	printf("from the %s host: seq %u, ack %u, %zu octets: verdict %d, reason %d\n",
	       side == LOCALACK_INNER ? "inner" : "outer", seq, ack, payload, verdict.kind, verdict.reason);
	while (localack_poll(engine, now_us, 16) == LOCALACK_MORE)
		;
	return verdict.kind;
}

static uint64_t owed(struct localack_flow_view *flow)
{
	struct localack_custody custody = { 0 };

	localack_custody(engine, 0, localack_slots_used(engine), &custody);
	CHECK(custody.flows == 1 && localack_flow(engine, 0, flow));
	CHECK(custody.debt == flow->directions[0].debt);
	/* More may be held than is owed: data of which nobody was told yet. */
	CHECK(custody.debt <= custody.held && (custody.held > 0) == (localack_blocks_used(engine) > 0));
	return custody.debt;
}

static void count(const char *group, const char *name, uint64_t expected)
{
	struct localack_counter_view counter;

	for (size_t index = 0; localack_counter(engine, index, &counter); index++)
		if (counter.group_length == strlen(group) && !memcmp(counter.group, group, counter.group_length) &&
		    counter.name_length == strlen(name) && !memcmp(counter.name, name, counter.name_length)) {
			printf("%s %s: %llu\n", group, name, (unsigned long long)counter.count);
			CHECK(counter.count == expected);
			return;
		}
	CHECK(!"the counter exists");
}

int main(void)
{
	struct seen seen = { 0 };
	const struct localack_callbacks callbacks = { &seen, transmit, news };
	struct localack_settings settings;
	struct localack_flow_view flow;
	struct localack_lost lost = { 0 };
	struct localack_rule rule = { 0 };
	uint8_t corrupt[HEADERS + PAYLOAD];
	const struct localack_meta unknown = { .checksum = LOCALACK_CHECKSUM_VERIFY };
	uint64_t due, found;
	uint8_t *memory;
	size_t size;

	CHECK(localack_abi_version() == LOCALACK_ABI);
	localack_settings_default(&settings);
	settings.flows = 8;
	settings.buffer = 64 << 10;
	settings.paths = 8;
	settings.hash_key[0] = 0x0123456789abcdef; /* A real program takes random numbers. */
	settings.mtu[0] = settings.mtu[1] = 1500;
	size = localack_memory_size(&settings);
	memory = aligned_alloc(64, (size + 63) / 64 * 64);
	CHECK(size > 0 && memory);
	CHECK(localack_engine_new(&settings, &callbacks, memory, size - 1, &engine) == LOCALACK_BAD_MEMORY);
	CHECK(localack_engine_new(&settings, &callbacks, memory + 8, size, &engine) == LOCALACK_BAD_MEMORY);
	settings.abi++;
	CHECK(localack_engine_new(&settings, &callbacks, memory, size, &engine) == LOCALACK_BAD_SETTINGS);
	CHECK(localack_memory_size(&settings) == 0);
	settings.abi--;
	settings.serving.controller = 77;
	CHECK(localack_engine_new(&settings, &callbacks, memory, size, &engine) == LOCALACK_BAD_SETTINGS);
	settings.serving.controller = LOCALACK_CUBIC;
	CHECK(localack_engine_new(&settings, &callbacks, memory, size, &engine) == LOCALACK_OK);
	printf("an engine for %u flows in %zu octets\n", settings.flows, size);

	/* Connections from one network to another port are left alone. */
	rule.version = 4;
	rule.inner_bits = 33;
	rule.inner_ports[1] = rule.outer_ports[1] = 22;
	CHECK(localack_set_rules(engine, &rule, 1) == LOCALACK_BAD_ARGUMENT);
	rule.inner_bits = 0;
	CHECK(localack_set_rules(engine, &rule, 1) == LOCALACK_OK);

	/* The handshake is end to end. */
	CHECK(say(LOCALACK_INNER, 1000, 0, SYN, 0) == LOCALACK_PASS);
	CHECK(say(LOCALACK_OUTER, 5000, 1001, SYN | ACK, 0) == LOCALACK_PASS);
	CHECK(say(LOCALACK_INNER, 1001, 5001, ACK, 0) == LOCALACK_PASS);
	CHECK(seen.adopted == 1 && seen.packets == 0);
	/* Nothing is acknowledged early before the receiver has shown that it is there. */
	say(LOCALACK_INNER, 1001, 5001, ACK, PAYLOAD);
	CHECK(seen.local_acks == 0 && owed(&flow) == 0);
	say(LOCALACK_OUTER, 5001, 1501, ACK, 0);
	CHECK(flow.state == 2 && flow.ports[0] == 40000 && flow.addresses[1][0] == 203);
	/* Now it is: the next segment is acknowledged at once. */
	say(LOCALACK_INNER, 1501, 5001, ACK, PAYLOAD);
	CHECK(seen.local_acks == 1 && seen.last_ack == 2001 && owed(&flow) == PAYLOAD);
	/* Nothing comes back: the engine sends it again. */
	seen.data = 0;
	CHECK(localack_next_due(engine, &due) && due > now_us);
	for (int step = 0; step < 8 && !seen.data && localack_next_due(engine, &due); step++) {
		now_us = due;
		while (localack_poll(engine, now_us, 16) == LOCALACK_MORE)
			;
	}
	CHECK(seen.data == 1 && seen.last_seq == 1501 && seen.last_length == HEADERS + PAYLOAD);
	/* Its packets name it. */
	segment(corrupt, LOCALACK_OUTER, 1, 1, ACK, 0);
	CHECK(localack_find_flow(engine, LOCALACK_OUTER, 0, corrupt, HEADERS, &found) && found == flow.id);
	CHECK(!localack_find_flow(engine, LOCALACK_INNER, 0, corrupt, HEADERS, &found));
	CHECK(!localack_find_flow(engine, LOCALACK_OUTER, 5, corrupt, HEADERS, &found));
	/* The receiver's acknowledgement ends the custody. */
	say(LOCALACK_OUTER, 5001, 2001, ACK, 0);
	CHECK(owed(&flow) == 0);

	/* A segment whose checksum is wrong passes, and nothing else. */
	now_us += 1000;
	segment(corrupt, LOCALACK_INNER, 2001, 5001, ACK, PAYLOAD);
	CHECK(localack_ingest(engine, LOCALACK_INNER, now_us, corrupt, sizeof(corrupt), &unknown).kind == LOCALACK_PASS);
	count("pass", "bad-checksum", 1);

	/* Services change while the connection lives. */
	CHECK(localack_set_service(engine, flow.id, 7, LOCALACK_BYPASS, now_us) == LOCALACK_BAD_ARGUMENT);
	CHECK(localack_set_service(engine, flow.id + 1, 0, LOCALACK_BYPASS, now_us) == LOCALACK_NO_FLOW);
	say(LOCALACK_INNER, 2001, 5001, ACK, PAYLOAD);
	CHECK(owed(&flow) == PAYLOAD && seen.local_acks == 2);
	CHECK(localack_set_service(engine, flow.id, LOCALACK_INNER_TO_OUTER, LOCALACK_BYPASS, now_us) == LOCALACK_OK);
	/* What is owed is still owed; a drain that may take no longer resets both ends and says what is lost. */
	localack_drain(engine, now_us);
	CHECK(owed(&flow) == PAYLOAD);
	CHECK(localack_give_up(engine, 0, localack_slots_used(engine), now_us, &lost) == LOCALACK_OK);
	printf("given up: %llu octets of %llu flow\n", (unsigned long long)lost.octets, (unsigned long long)lost.flows);
	CHECK(lost.octets == PAYLOAD && lost.flows == 1 && seen.given_up == 1 && seen.lost == PAYLOAD);
	CHECK(seen.resets == 2 && owed(&flow) == 0 && flow.state == 4);
	count("engine", "octets-lost", PAYLOAD);
	free(memory);
	puts("exchange ok");
	return 0;
}
