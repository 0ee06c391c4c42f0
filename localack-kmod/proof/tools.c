/* The hosts and the link of the proofs: one static program for an initramfs.
 *
 *   tools serve PORT                         a server that repeats what it has got, as a hash
 *   tools send ADDRESS PORT HOW SEED UP DOWN [SENT-BEFORE-RESET]
 *   tools measure ADDRESS PORT HOW SEED UP DOWN   the same, between two marks for counter.c
 *   tools link NEAR FAR DELAY-MS LOSS-PERMILLE [OCTETS-PER-SECOND]
 *   tools ask REQUEST                        a line to /dev/localack, and its answer
 *
 * HOW is `both` (both ways at once), `half` (the answer begins after the end of what was sent), `reset` (the client
 * resets after so many octets) or `refuse` (the server does).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mark.h"

enum { PIECE = 65536, FRAME = 2048 };

static void die(const char *what)
{
	printf("FAILED %s: %s\n", what, strerror(errno));
	exit(1);
}

static double seconds(void)
{
	struct timespec now;

	/* Not by the C library, which calls what the kernel maps into all programs: counter.c tells them apart. */
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* ---- What is sent, and its hash (FNV-1a of 64 bits). */

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void fill(uint8_t *to, size_t octets, uint64_t *state)
{
	for (size_t at = 0; at < octets; at++)
		to[at] = next(state) >> 32;
}

#define NO_HASH 0xcbf29ce484222325u

static uint64_t hash(uint64_t so_far, const uint8_t *octets, size_t length)
{
	for (size_t at = 0; at < length; at++)
		so_far = (so_far ^ octets[at]) * 0x100000001b3u;
	return so_far;
}

static void put(int fd, const void *from, size_t octets, const char *who)
{
	const uint8_t *at = from;

	while (octets) {
		ssize_t done = send(fd, at, octets, MSG_NOSIGNAL);

		if (done < 0)
			die(who);
		at += done;
		octets -= done;
	}
}

static uint64_t stream(int fd, uint64_t seed, uint64_t octets, const char *who)
{
	static uint8_t piece[PIECE];
	uint64_t state = seed, sum = NO_HASH;

	while (octets) {
		size_t length = octets < PIECE ? octets : PIECE;

		fill(piece, length, &state);
		sum = hash(sum, piece, length);
		put(fd, piece, length, who);
		octets -= length;
	}
	return sum;
}

/* Reads exactly so many octets, or to the end if `octets` is UINT64_MAX; returns the hash. */
static uint64_t take(int fd, uint64_t octets, uint64_t *got, const char *who)
{
	static uint8_t piece[PIECE];
	uint64_t sum = NO_HASH;

	*got = 0;
	while (*got < octets) {
		uint64_t rest = octets - *got;
		ssize_t done = recv(fd, piece, rest < PIECE ? rest : PIECE, 0);

		if (done < 0)
			die(who);
		if (!done)
			break;
		sum = hash(sum, piece, done);
		*got += done;
	}
	return sum;
}

struct order {
	char how[8];
	uint64_t seed, up, down;
};

struct receipt {
	uint64_t hash, octets;
};

static void reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* ---- The server. */

static void take_all(int fd, void *to, size_t octets, const char *who)
{
	uint8_t *at = to;

	while (octets) {
		ssize_t done = recv(fd, at, octets, 0);

		if (done <= 0)
			die(who);
		at += done;
		octets -= done;
	}
}

static void handle(int fd)
{
	struct order order;
	struct receipt receipt;
	pid_t sender;

	take_all(fd, &order, sizeof(order), "server, order");
	if (!strcmp(order.how, "refuse")) {
		uint64_t got;

		take(fd, order.up / 2, &got, "server");
		reset(fd);
		exit(0);
	}
	if (!strcmp(order.how, "both")) {
		sender = fork();
		if (!sender) {
			stream(fd, order.seed + 1, order.down, "server, sending");
			exit(0);
		}
		receipt.hash = take(fd, UINT64_MAX, &receipt.octets, "server, receiving");
		waitpid(sender, NULL, 0);
	} else {
		receipt.hash = take(fd, UINT64_MAX, &receipt.octets, "server, receiving");
		stream(fd, order.seed + 1, order.down, "server, sending");
	}
	put(fd, &receipt, sizeof(receipt), "server, receipt");
	exit(0);
}

static _Noreturn void serve(const char *port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(port)) };
	int one = 1, listener = socket(AF_INET6, SOCK_STREAM, 0);

	signal(SIGCHLD, SIG_DFL);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) || listen(listener, 16))
		die("listening");
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (fd < 0)
			die("accepting");
		if (!fork()) {
			close(listener);
			handle(fd);
		}
		close(fd);
	}
}

/* ---- The client. */

static int dial(const char *address, const char *port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(port)) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = six.sin6_port };
	bool is_six = inet_pton(AF_INET6, address, &six.sin6_addr) == 1;
	int fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || (!is_six && inet_pton(AF_INET, address, &four.sin_addr) != 1))
		die("address");
	if (is_six ? connect(fd, (struct sockaddr *)&six, sizeof(six)) :
		     connect(fd, (struct sockaddr *)&four, sizeof(four)))
		die("connecting");
	return fd;
}

static int send_mode(char **args, int count)
{
	struct order order = { .seed = strtoull(args[3], NULL, 0), .up = strtoull(args[4], NULL, 0),
			       .down = strtoull(args[5], NULL, 0) };
	const char *how = args[2];
	struct receipt receipt;
	struct tcp_info info;
	socklen_t length = sizeof(info);
	uint64_t sent, got, received, expected = NO_HASH, state = order.seed + 1, rest;
	static uint8_t piece[PIECE];
	double begun, accepted;
	int fd, pipes[2];
	pid_t sender;

	strncpy(order.how, how, sizeof(order.how) - 1);
	fd = dial(args[0], args[1]);
	begun = seconds();
	put(fd, &order, sizeof(order), "client, order");
	if (!strcmp(how, "reset")) {
		stream(fd, order.seed, count > 6 ? strtoull(args[6], NULL, 0) : order.up / 2, "client, sending");
		reset(fd);
		printf("ok reset by the client\n");
		return 0;
	}
	if (!strcmp(how, "refuse")) {
		/* It must fail, and not before the server has done it. */
		sender = fork();
		if (!sender) {
			freopen("/dev/null", "w", stdout);
			stream(fd, order.seed, order.up * 100, "client, sending");
			exit(0);
		}
		int status;

		waitpid(sender, &status, 0);
		if (!WIFEXITED(status) || !WEXITSTATUS(status)) {
			printf("FAILED the server's reset did not arrive\n");
			return 1;
		}
		printf("ok reset by the server\n");
		return 0;
	}
	if (pipe(pipes))
		die("pipe");
	sender = fork();
	if (!sender) {
		double done;

		sent = stream(fd, order.seed, order.up, "client, sending");
		/* Until everything is acknowledged, from nearby or from afar. */
		for (int rest = 1; rest; usleep(2000))
			if (ioctl(fd, SIOCOUTQ, &rest))
				die("client, asking what is not acknowledged");
		getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
		done = seconds() - begun;
		shutdown(fd, SHUT_WR);
		if (write(pipes[1], &sent, 8) != 8 || write(pipes[1], &done, 8) != 8 ||
		    write(pipes[1], &info.tcpi_min_rtt, 4) != 4)
			die("pipe");
		exit(0);
	}
	close(pipes[1]);
	for (rest = order.down; rest;) {
		size_t part = rest < PIECE ? rest : PIECE;

		fill(piece, part, &state);
		expected = hash(expected, piece, part);
		rest -= part;
	}
	received = take(fd, order.down, &got, "client, receiving");
	take_all(fd, &receipt, sizeof(receipt), "client, receipt");
	if (recv(fd, piece, 1, 0) != 0) {
		printf("FAILED there is more than was sent\n");
		return 1;
	}
	info.tcpi_min_rtt = 0;
	if (read(pipes[0], &sent, 8) != 8 || read(pipes[0], &accepted, 8) != 8 || read(pipes[0], &info.tcpi_min_rtt, 4) != 4) {
		printf("FAILED sending\n");
		return 1;
	}
	if (receipt.octets != order.up || receipt.hash != sent || got != order.down || received != expected) {
		printf("FAILED hashes differ: up %llu of %llu octets %016llx %016llx, down %llu of %llu\n",
		       (unsigned long long)receipt.octets, (unsigned long long)order.up,
		       (unsigned long long)receipt.hash, (unsigned long long)sent, (unsigned long long)got,
		       (unsigned long long)order.down);
		return 1;
	}
	printf("ok %s up %llu %016llx down %llu %016llx acknowledged-s %.2f all-s %.2f min-rtt-us %u\n", how,
	       (unsigned long long)order.up, (unsigned long long)sent, (unsigned long long)order.down,
	       (unsigned long long)received, accepted, seconds() - begun, info.tcpi_min_rtt);
	return 0;
}

#define STRING(...) STRING_OF(__VA_ARGS__)
#define STRING_OF(...) #__VA_ARGS__

static void mark(void)
{
	__asm__ volatile(".byte " STRING(MARK));
}

/* ---- The link: two devices, and frames that take their time between them, or are lost. */

struct frame {
	struct frame *next;
	double due;
	int to;
	size_t length;
	uint8_t octets[FRAME];
};

static volatile sig_atomic_t is_down, loses = 1;

static void on_signal(int number)
{
	if (number == SIGHUP)
		loses = !loses;
	else
		is_down = number == SIGUSR1;
}

static int tap(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request))
		die("making a device");
	return fd;
}

static _Noreturn void link_mode(char **args, int count)
{
	int ends[2] = { tap(args[0]), tap(args[1]) };
	double delay = atoi(args[2]) / 1000.0;
	unsigned permille = atoi(args[3]);
	double rate = count > 4 ? atof(args[4]) : 0, free_at[2] = { 0 };
	struct frame *queues[2] = { 0 }, **tails[2] = { &queues[0], &queues[1] };
	uint64_t chance = 88172645463325252u;

	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, on_signal);
	signal(SIGHUP, on_signal);
	for (;;) {
		struct pollfd polls[2] = { { ends[0], POLLIN, 0 }, { ends[1], POLLIN, 0 } };
		double now = seconds(), wait = 1;
		struct timespec time;

		for (int side = 0; side < 2; side++) {
			struct frame *frame;

			while ((frame = queues[side]) && frame->due <= now) {
				queues[side] = frame->next;
				if (!queues[side])
					tails[side] = &queues[side];
				/* What the device does not take is lost, too. */
				if (write(ends[!side], frame->octets, frame->length) < 0 && errno != EIO &&
				    errno != EAGAIN && errno != ENOBUFS)
					die("link, writing");
				free(frame);
			}
			if (frame && frame->due - now < wait)
				wait = frame->due - now;
		}
		time.tv_sec = wait;
		time.tv_nsec = (wait - time.tv_sec) * 1e9;
		if (ppoll(polls, 2, &time, NULL) < 0 && errno != EINTR)
			die("link, waiting");
		now = seconds();
		for (int side = 0; side < 2; side++)
			for (;;) {
				struct frame *frame = malloc(sizeof(*frame));
				ssize_t length = read(ends[side], frame->octets, FRAME);
				/* Addresses are asked for by short frames: those arrive. */
				bool lost = is_down || (loses && length > 100 && next(&chance) % 1000 < permille);

				if (length <= 0 || lost) {
					free(frame);
					if (length <= 0)
						break;
					continue;
				}
				frame->length = length;
				/* One after the other, if the link has a rate; nothing is too much for its queue. */
				if (free_at[side] < now)
					free_at[side] = now;
				if (rate > 0)
					free_at[side] += length / rate;
				frame->due = free_at[side] + delay;
				frame->next = NULL;
				*tails[side] = frame;
				tails[side] = &frame->next;
			}
	}
}

/* ---- The operator. */

static int ask(const char *request)
{
	static char room[1 << 20];
	int fd = open("/dev/localack", O_RDWR);
	ssize_t octets;

	if (fd < 0 || write(fd, request, strlen(request)) < 0)
		die("asking");
	while ((octets = read(fd, room, sizeof(room))) > 0)
		if (write(1, room, octets) != octets)
			die("asking");
	return octets < 0;
}

int main(int count, char **args)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (count == 3 && !strcmp(args[1], "serve"))
		serve(args[2]);
	if (count >= 8 && !strcmp(args[1], "send"))
		return send_mode(args + 2, count - 2);
	if (count == 8 && !strcmp(args[1], "measure")) {
		int status;

		mark();
		status = send_mode(args + 2, count - 2);
		mark();
		return status;
	}
	if (count >= 6 && !strcmp(args[1], "link"))
		link_mode(args + 2, count - 2);
	if (count == 3 && !strcmp(args[1], "ask"))
		return ask(args[2]);
	fprintf(stderr, "see the beginning of tools.c\n");
	return 2;
}
