/*
 * delay - a link with latency: forwards connections to a port on loopback, every byte
 * so much later, both ways, at any rate.
 *   delay LISTEN_PORT TARGET_PORT MILLISECONDS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 65536
#define CHUNKS 128				/* on their way in one direction: 8 MB */

struct chunk { int64_t due; ssize_t len; char data[CHUNK]; };

/* One direction: a thread reads, another writes what is due. */
struct way
{
	int			from,
				to;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct chunk ring[CHUNKS];
	int			head,
				n;
};

static int64_t latency_us;
static int	target_port;

static int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void *
read_way(void *arg)
{
	struct way *w = arg;
	ssize_t		len;

	do
	{
		struct chunk *c;

		pthread_mutex_lock(&w->lock);
		while (w->n == CHUNKS)
			pthread_cond_wait(&w->changed, &w->lock);
		c = &w->ring[(w->head + w->n) % CHUNKS];
		pthread_mutex_unlock(&w->lock);
		len = c->len = read(w->from, c->data, CHUNK);
		c->due = now_us() + latency_us;
		pthread_mutex_lock(&w->lock);
		w->n++;
		pthread_cond_broadcast(&w->changed);
		pthread_mutex_unlock(&w->lock);
	} while (len > 0);
	return NULL;
}

static void *
write_way(void *arg)
{
	struct way *w = arg;
	bool		more = true;

	while (more)
	{
		struct chunk *c;
		int64_t		wait;

		pthread_mutex_lock(&w->lock);
		while (w->n == 0)
			pthread_cond_wait(&w->changed, &w->lock);
		c = &w->ring[w->head];
		pthread_mutex_unlock(&w->lock);
		if ((wait = c->due - now_us()) > 0)
			usleep((useconds_t) wait);
		more = c->len > 0;
		for (ssize_t at = 0; more && at < c->len;)
		{
			ssize_t		n = write(w->to, c->data + at, (size_t) (c->len - at));

			more = n > 0;
			at += n;
		}
		pthread_mutex_lock(&w->lock);
		w->head = (w->head + 1) % CHUNKS;
		w->n--;
		pthread_cond_broadcast(&w->changed);
		pthread_mutex_unlock(&w->lock);
	}
	shutdown(w->to, SHUT_WR);
	shutdown(w->from, SHUT_RD);
	return NULL;
}

static void
forward(int client)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t) target_port)};
	int			server = socket(AF_INET, SOCK_STREAM, 0),
				one = 1;
	int			ends[2] = {client, server};

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (server < 0 || connect(server, (struct sockaddr *) &sa, sizeof sa) != 0)
	{
		close(client);
		return;
	}
	for (int i = 0; i < 2; i++)
	{
		struct way *w = calloc(1, sizeof *w);
		pthread_t	t;

		setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		w->from = ends[i];
		w->to = ends[1 - i];
		pthread_mutex_init(&w->lock, NULL);
		pthread_cond_init(&w->changed, NULL);
		pthread_create(&t, NULL, read_way, w);
		pthread_create(&t, NULL, write_way, w);
	}
}

int
main(int argc, char **argv)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	int			listener = socket(AF_INET, SOCK_STREAM, 0),
				one = 1,
				client;

	if (argc != 4)
		return 2;
	target_port = atoi(argv[2]);
	latency_us = (int64_t) atoi(argv[3]) * 1000;
	signal(SIGPIPE, SIG_IGN);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	sa.sin_port = htons((uint16_t) atoi(argv[1]));
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *) &sa, sizeof sa) != 0 || listen(listener, 64) != 0)
		return perror("listen"), 1;
	while ((client = accept(listener, NULL, NULL)) >= 0)
		forward(client);
	return 0;
}
