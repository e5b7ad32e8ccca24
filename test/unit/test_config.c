/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config: [device], [link] and [rule] as read: defaults, values, and the messages about wrong values and
 * combinations.
 *
 * test_ini covers the syntax of lines, unknown keys and `like`, test_action covers actions.
 */
#include "test/unit/unit.h"

#include <unistd.h>

static void test_defaults(void **state)
{
	struct given given;
	const struct link_way *way;
	const struct rule *rule;

	(void)state;
	given_read(&given, "[link x]\n[rule r]\ndo = note\n[device d]\n");
	assert_string_equal(given.printed, "");
	assert_int_equal(given.config->link_count, 2);
	way = &given.config->links[1].ways[WAY_DOWN];
	assert_true(way->clean && given.config->links[0].ways[WAY_UP].clean);
	assert_int_equal(way->latency, 0);
	assert_int_equal(way->dist.kind, DIST_UNIFORM);
	assert_int_equal(way->order, ORDER_KEEP);
	assert_int_equal(way->loss_at, LOSS_ENTRY);
	assert_int_equal(way->reorder_by.kind, AMOUNT_PACKETS);
	assert_int_equal(way->reorder_by.value, 1);
	assert_int_equal(way->reorder_wait, NS_S);
	assert_true(way->overhead == OVERHEAD_IP);
	assert_int_equal(way->queue.kind, AMOUNT_PACKETS);
	assert_int_equal(way->queue.value, 1000);
	assert_int_equal(way->rate, 0);
	assert_int_equal(way->mtu, 0);
	rule = &given.config->rules[0];
	assert_int_equal(rule->way, RULE_BOTH);
	assert_near(rule->probability, 1, 0);
	assert_true(rule->limit == UNITS_NO_LIMIT);
	assert_int_equal(rule->scope, SCOPE_SESSION);
	assert_false(rule->timed || rule->expect_given);
	/* Without a [link default] a device uses the clean link. */
	assert_int_equal(given.config->devices[0].link, 0);
	given_free(&given);
}

static void test_link(void **state)
{
	struct given given;
	const struct link_way *up, *down;

	(void)state;
	given_read(&given, "[link x]\nlatency = 300ms\nup.latency = 500ms\njitter = 50ms\ndistribution = "
	                   "normal\ncorrelation = 25%\n"
	                   "down.order = free\nup.loss = 2%\nloss_at = exit\nreorder = 1%\nreorder_by = "
	                   "30ms\nduplicate = 3%\ncorrupt = 4%\n"
	                   "rate = 18kbit\ndown.rate = 1.5Mbit\npacket_time = 5ms\noverhead = 40\nqueue = "
	                   "20p\ndown.queue = 64KiB\n"
	                   "mtu = 1280\nwake_after = 10s\nwake_delay = next-up\nup.wake_delay = 0s-2s\n");
	assert_string_equal(given.printed, "");
	up = &given.config->links[1].ways[WAY_UP];
	down = &given.config->links[1].ways[WAY_DOWN];
	/* A key for one direction wins over one for both, whichever comes later. */
	assert_int_equal(up->latency, 500 * NS_MS);
	assert_int_equal(down->latency, 300 * NS_MS);
	assert_int_equal(up->dist.kind, DIST_NORMAL);
	assert_near(down->correlation, 0.25, 1e-12);
	assert_int_equal(up->order, ORDER_KEEP);
	assert_int_equal(down->order, ORDER_FREE);
	assert_near(up->loss, 0.02, 1e-12);
	assert_near(down->loss, 0, 0);
	assert_int_equal(up->loss_at, LOSS_EXIT);
	assert_int_equal(up->reorder_by.kind, AMOUNT_TIME);
	assert_int_equal(up->reorder_by.value, 30 * NS_MS);
	assert_int_equal(up->rate, 18000);
	assert_int_equal(down->rate, 1500000);
	assert_int_equal(up->overhead, 40);
	assert_int_equal(down->queue.kind, AMOUNT_BYTES);
	assert_int_equal(down->queue.value, 65536);
	assert_int_equal(up->mtu, 1280);
	assert_true(down->wake_delay.next_up);
	assert_false(up->wake_delay.next_up);
	assert_int_equal(up->wake_delay.time.high, 2 * NS_S);
	assert_false(up->clean);
	given_free(&given);
}

static void test_gilbert_of_run(void **state)
{
	struct given given;
	const struct gilbert *gilbert;

	(void)state;
	given_read(&given, "[link x]\nloss = 5%\nloss_run = 4\n[link y]\ngilbert_elliott = 1% 25%\n"
	                   "[link z]\nlike = y\nloss = 3%\n");
	assert_string_equal(given.printed, "");
	gilbert = &given.config->links[1].ways[WAY_UP].gilbert;
	assert_true(given.config->links[1].ways[WAY_UP].chained);
	assert_near(gilbert->to_good, 0.25, 1e-12);
	/* The stationary share of the bad state is the loss. */
	assert_near(gilbert->to_bad / (gilbert->to_bad + gilbert->to_good), 0.05, 1e-12);
	gilbert = &given.config->links[2].ways[WAY_UP].gilbert;
	assert_near(gilbert->loss_bad, 1, 0);
	assert_near(gilbert->loss_good, 0, 0);
	/* A section's own loss replaces an inherited chain. */
	assert_false(given.config->links[3].ways[WAY_UP].chained);
	assert_near(given.config->links[3].ways[WAY_UP].loss, 0.03, 1e-12);
	given_free(&given);
}

static void test_rule(void **state)
{
	struct given given;
	const struct rule *rule;

	(void)state;
	given_read(&given,
	    "[device a]\n[device b]\naddress = 10.0.0.1\n"
	    "[rule r]\ndevice = b\nsession = 1, 3-5\ndirection = either\ndtls = handshake, type:99\ndtls_not "
	    "= alert\n"
	    "epoch = 0-1\nrecord = 0:2, 1:0-5\nattempt = 2-\ncarried = 20KiB-21KiB\nsize = 33, 500-600\nnth "
	    "= every 5, 40-\n"
	    "probability = 50%\nlimit = 3\nafter = 1s\nuntil = 1m\nsince = s\nexpect = 1- each\ndo = drop\n"
	    "[rule s]\nat = 5s-10s\nevery = 1m\nscope = all\nexpect = 2\ndo = blackout 40s\n");
	/* [device a] takes all sessions. */
	assert_string_equal(given.printed,
	    "t.ini:2: note: [device b]: is never reached: [device a] stands before it and "
	    "takes all of its sessions\n");
	rule = &given.config->rules[0];
	assert_int_equal(rule->devices.count, 1);
	assert_int_equal(rule->devices.all[0], 1);
	assert_true(spans_hold(&rule->sessions, 4) && !spans_hold(&rule->sessions, 2));
	assert_int_equal(rule->way, RULE_EITHER);
	assert_int_equal(rule->dtls.kinds, 1u << DTLS_KIND_HANDSHAKE);
	assert_true(rule->dtls.any_types);
	assert_int_equal(rule->dtls.types[99 / 32], 1u << 99 % 32);
	assert_int_equal(rule->dtls_not.kinds, 1u << DTLS_KIND_ALERT);
	assert_int_equal(rule->records.count, 2);
	assert_int_equal(rule->records.all[1].epoch, 1);
	assert_int_equal(rule->records.all[1].numbers.high, 5);
	assert_int_equal(rule->carried.low, 20480);
	assert_true(spans_hold(&rule->sizes, 600) && !spans_hold(&rule->sizes, 34));
	assert_true(spans_hold(&rule->nth, 5) && spans_hold(&rule->nth, 41) && !spans_hold(&rule->nth, 6));
	assert_near(rule->probability, 0.5, 1e-12);
	assert_int_equal(rule->limit, 3);
	assert_int_equal(rule->since, 2);
	assert_true(rule->expect_given && rule->expect_each && !rule->timed);
	assert_int_equal(rule->expect.low, 1);
	assert_int_equal(rule->looks, LOOKS_UP | LOOKS_DOWN | LOOKS_SINCE | LOOKS_ATTEMPT | LOOKS_AGE |
	                                  LOOKS_SIZE | LOOKS_DTLS | LOOKS_RECORDS | LOOKS_CARRIED);
	rule = &given.config->rules[1];
	assert_true(rule->timed && rule->at_given && rule->every_given && !rule->expect_each);
	assert_int_equal(rule->looks, 0);
	assert_int_equal(rule->at.low, 5 * NS_S);
	assert_int_equal(rule->at.high, 10 * NS_S);
	assert_int_equal(rule->scope, SCOPE_ALL);
	assert_int_equal(rule->watchers.count, 1);
	assert_int_equal(rule->watchers.all[0], 0);
	given_free(&given);
}

/* ---- Devices ---- */

static void test_device(void **state)
{
	static const struct {
		const char *device, *listener;
		const char *section;
	} rows[] = {{"10.0.0.1:5", "127.0.0.1:1", "exact"}, {"10.0.0.1:6", "127.0.0.1:1", "net"},
	    {"10.9.9.9:6", "127.0.0.1:2", "net"}, {"192.0.2.1:6", "127.0.0.1:2", "second"},
	    {"192.0.2.1:6", "127.0.0.1:1", NULL}, {"[::1]:6", "127.0.0.1:2", "second"}};
	struct given given;

	(void)state;
	given_read(&given,
	    "[device exact]\naddress = 10.0.0.1:5\n[device net]\naddress = 10.0.0.0/8, 2001:db8::/32\n"
	    "[device second]\nlistener = 127.0.0.1:2\nlink = far\n[link near]\n[link far]\n[link default]\n");
	assert_string_equal(given.printed, "");
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address device, listener;
		struct error error;
		const struct device *found;

		assert_int_equal(address_read(rows[i].device, &device, &error), 0);
		assert_int_equal(address_read(rows[i].listener, &listener, &error), 0);
		found = config_device(given.config, &device, &(struct entrance){.listener = listener});
		if (rows[i].section)
			assert_string_equal(found->name, rows[i].section);
		else
			assert_null(found);
	}
	assert_string_equal(given.config->links[given.config->devices[2].link].name, "far");
	assert_string_equal(given.config->links[given.config->devices[0].link].name, "default");
	assert_string_equal(given.config->links[given.config->default_link].name, "default");
	given_free(&given);
}

/* ---- Mistakes ---- */

#define LINK(key) "[link x]\n" key "\n"
#define RULE(key) "[rule x]\ndo = note\n" key "\n"
#define TIMED(key) "[rule x]\nat = 1s\n" key "\n"
#define IN_LINK "t.ini:2: [link x] "
#define IN_RULE "t.ini:3: [rule x] "
#define IN_LINK_NOTE "t.ini:2: note: [link x] "
#define NOTE_RULE "t.ini:3: note: [rule x] "
#define FOREIGN                                                                                              \
	"looks at a datagram, and a rule with `at` or `every` has none; beside them stand device, session, " \
	"since, limit, "                                                                                     \
	"expect and scope\n"

static void test_mistakes(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
	    {LINK("distribution = gauss"),
	        IN_LINK "distribution: `gauss` is unknown; it is uniform, normal, pareto, "
	                "paretonormal, lognormal or file PATH\n"},
	    {LINK("distribution = file /nowhere"),
	        IN_LINK "distribution: `/nowhere` cannot be read: No such file or directory\n"},
	    {LINK("order = kept"), IN_LINK "order: `kept` is unknown; it is keep or free\n"},
	    {LINK("loss_at = end"), IN_LINK "loss_at: `end` is unknown; it is entry or exit\n"},
	    {LINK("loss_run = many"),
	        IN_LINK "loss_run: `many` is not a number; it is the mean number lost in a row, as 4 or "
	                "2.5\n"},
	    {LINK("loss_run = 0.5"),
	        IN_LINK "loss_run: `0.5` is out of range; a run is 1 to 1000000 datagrams\n"},
	    {LINK("loss_run = 2\nloss = 80%"), IN_LINK
	        "loss_run: a loss of 80% comes in runs of at least loss / (1 - loss) = 4 in the mean\n"},
	    {LINK("loss_run = 4\nloss = 80%\n[link y]\nloss = 90%\nloss_run = 9"),
	        ""}, /* exactly the least */
	    {LINK("loss_run = 2\nloss = 100%"), IN_LINK "loss_run: has no meaning where loss is 100%\n"},
	    {LINK("gilbert_elliott = 1%"), IN_LINK
	        "gilbert_elliott: `1%` is too short; it is P R [LOSS_BAD [LOSS_GOOD]], as `1% 25%`\n"},
	    {LINK("gilbert_elliott = 1% 2% 3% 4% 5%"),
	        IN_LINK "gilbert_elliott: `1% 2% 3% 4% 5%` has more than four figures\n"},
	    {LINK("gilbert_elliott = 1 25%"),
	        IN_LINK "gilbert_elliott: `1` lacks its unit; a share is 2% or 0.5%\n"},
	    {LINK("gilbert_elliott = 1% 25%\nloss = 1%"),
	        IN_LINK "gilbert_elliott: stands in place of `loss`; only one of them may be given\n"},
	    {LINK("queue = 50"),
	        IN_LINK "queue: `50` lacks its unit; it is datagrams (50p), bytes (64KiB) or a time (2s)\n"},
	    {LINK("reorder_by = 3"),
	        IN_LINK "reorder_by: `3` lacks its unit; it is datagrams (3p) or a time (30ms)\n"},
	    {LINK("reorder_by = 0p"), IN_LINK "reorder_by: `0p` is out of range; it is 1p to 65535p\n"},
	    {LINK("overhead = 65536"),
	        IN_LINK "overhead: `65536` is out of range; it is ip, or 0 to 65535 bytes\n"},
	    {LINK("mtu = 27"), IN_LINK "mtu: `27` is out of range; an MTU is 28 to 65575 bytes\n"},
	    {LINK("up.wake_delay = next-up"),
	        IN_LINK "up.wake_delay: `next-up` is for down: what the device sends waits for nothing\n"},
	    {LINK("distribution = lognormal\njitter = 1ms"),
	        IN_LINK "distribution: lognormal needs a latency above 0, which is its mean\n"},
	    {LINK("rate = 18"),
	        IN_LINK "rate: `18` lacks its unit; a rate is 18kbit or 1.5Mbit (per second)\n"},
	    {RULE("direction = sideways"),
	        IN_RULE "direction: `sideways` is unknown; it is both, up, down or either\n"},
	    {RULE("scope = one"), IN_RULE "scope: `one` is unknown; it is session, device, all or first\n"},
	    {RULE("dtls = client_helo"),
	        IN_RULE "dtls: `client_helo` is unknown; did you mean `client_hello`?\n"},
	    {RULE("dtls = type:256"),
	        IN_RULE "dtls: `type:256` is no content type; one is type:0 to type:255\n"},
	    {RULE("record = 5"), IN_RULE "record: `5` is no record; one is EPOCH:NUMBER, as 0:2 or 1:0-5\n"},
	    {RULE("record = 0:"),
	        IN_RULE "record: `0:` is no record; one is EPOCH:NUMBER, as 0:2 or 1:0-5\n"},
	    {RULE("nth = 0"), IN_RULE "nth: `0` never comes; the first datagram is 1\n"},
	    {RULE("nth = every 0"), IN_RULE "nth: `every 0` counts nothing; `every` takes 1 or more\n"},
	    {RULE("nth = 9-5"),
	        IN_RULE "nth: the range `9-5` runs backwards; the smaller number comes first\n"},
	    {RULE("expect = 1- all"),
	        IN_RULE "expect: `1- all` is not right; it is a range like 1- or 3, and `each` behind it\n"},
	    {RULE("limit = some"), IN_RULE "limit: `some` is not a number\n"},
	    {TIMED("do = note\nsize = 5"), "t.ini:4: [rule x] size: " FOREIGN},
	    {TIMED("do = note\ndirection = up"), "t.ini:4: [rule x] direction: " FOREIGN},
	    {TIMED("do = drop"), IN_RULE "do: `drop` needs a datagram; a rule with `at` or `every` can do "
	                                 "blackout, rebind, link, upstream and note\n"},
	    {TIMED("do = note\ndo = corrupt"),
	        "t.ini:4: [rule x] do: `corrupt` needs a datagram; a rule with `at` or `every` "
	        "can do blackout, rebind, link, upstream and note\n"},
	    {RULE("every = 0"), IN_RULE "every: is below 1ms; `every` takes times of at least 1ms\n"},
	    {RULE("every = 1us-5s"), IN_RULE "every: is below 1ms; `every` takes times of at least 1ms\n"},
	    /* A rule that can never match gets a note, not an error. */
	    {RULE("limit = 0"), NOTE_RULE "limit: the rule can never fire: its limit is 0\n"},
	    {RULE("probability = 0%"), NOTE_RULE "probability: the rule can never fire: its chance is 0%\n"},
	    {RULE("until = 0"), NOTE_RULE "until: the rule can never match: `until` is not above `after`\n"},
	    {RULE("since = x"), IN_RULE "since: the rule would wait for itself; name another rule\n"},
	    {RULE("dtls_not = alert, ack\ndtls = ack"), NOTE_RULE
	        "dtls_not: the rule can never match: `dtls_not` excludes all that `dtls` asks for\n"},
	    {RULE("attempt = 0"), NOTE_RULE "attempt: the rule can never match: the first try is 1\n"},
	    {RULE("size = 70000"),
	        NOTE_RULE "size: the rule can never match: no datagram is larger than 65527 bytes\n"},
	    {RULE("size = 65528-"),
	        NOTE_RULE "size: the rule can never match: no datagram is larger than 65527 bytes\n"},
	    {RULE("session = 0"), NOTE_RULE "session: the rule can never match: the first session is 1\n"},
	    /* One part of a list that cannot match does not keep the rule from matching. */
	    {RULE("size = 33, 70000"), ""},
	    {RULE("session = 0, 1"), ""},
	    {RULE("size = 65507"), ""},
	    /* Queues of more than 10 s of 500-byte datagrams; at 18 kbit one takes 0.2347 s. */
	    {LINK("queue = 50p\nrate = 18kbit"),
	        "t.ini:2: note: [link x] queue: the queue holds up to 12 s of 500-byte "
	        "datagrams; a shorter one (`queue = 20p`) is nearer to real networks\n"},
	    {LINK("queue = 42p\nrate = 18kbit"), ""},
	    {LINK("rate = 18kbit"),
	        "t.ini:1: note: [link x]: the queue (1000p by default) holds up to 235 s of 500-byte "
	        "datagrams; a shorter one (`queue = 20p`) is nearer to real networks\n"},
	    {LINK("queue = 11s\nrate = 18kbit"),
	        "t.ini:2: note: [link x] queue: the queue holds up to 11 s of 500-byte "
	        "datagrams; a shorter one (`queue = 20p`) is nearer to real networks\n"},
	    {LINK("queue = 10s\nrate = 18kbit"), ""},
	    /* A key without effect gets a note, unless another direction or section uses it. */
	    {LINK("queue = 100000p"),
	        IN_LINK_NOTE "queue: has no effect without `rate`, `packet_time` or `trace`\n"},
	    {LINK("queue = 20p\ndown.rate = 18kbit"), ""},
	    {LINK("up.queue = 20p\ndown.rate = 18Mbit"),
	        IN_LINK_NOTE "up.queue: has no effect without `rate`, `packet_time` or `trace`\n"},
	    {LINK("loss_run = 4"), IN_LINK_NOTE "loss_run: has no effect without `loss`\n"},
	    {LINK("loss_run = 4\nup.loss = 2%"), ""},
	    {LINK("wake_delay = 1s"), IN_LINK_NOTE "wake_delay: has no effect without `wake_after`\n"},
	    {LINK("reorder_by = 3p"), IN_LINK_NOTE "reorder_by: has no effect without `reorder`\n"},
	    {LINK("correlation = 5%"), IN_LINK_NOTE "correlation: has no effect without `jitter`\n"},
	    {LINK("correlation = 5%") "[link y]\nlike = x\njitter = 1ms\nlatency = 2ms\n", ""},
	    {LINK("jitter = 5ms\nlatency = 4ms"),
	        IN_LINK_NOTE "jitter: is above `latency`: delays that would be below 0 are cut off at 0\n"},
	    {LINK("jitter = 5ms\nlatency = 5ms"), ""},
	    {LINK("latency = 150 ms"),
	        IN_LINK "latency: `150 ms`: no space between number and unit, 150ms\n"},
	    {LINK("rate = 10mbit"), IN_LINK "rate: `10mbit`: units are case-sensitive, 10Mbit\n"},
	    {LINK("loss = 2,5%"), IN_LINK "loss: `2,5%`: the decimal sign is a point, 2.5%\n"},
	    {LINK("loss = 5%;five"),
	        IN_LINK "loss: `5%;five`: a comment behind a value needs a space before its `;`\n"},
	    {LINK("delay = 5ms"), IN_LINK "delay: unknown key; did you mean `latency`?\n"},
	    {LINK("upload.loss = 5%"), IN_LINK "upload.loss: unknown key; did you mean `up.loss`?\n"},
	    {LINK("nat_timeout = 5s"),
	        IN_LINK "nat_timeout: unknown key; `nat_timeout` belongs in a section [device NAME]\n"},
	    {RULE("carried = 22KiB"), NOTE_RULE
	        "carried: it holds only while exactly that many bytes were carried; with a `-` behind it "
	        "means from there on\n"},
	    {"[device a]\nidentity = \"a\"\n", "t.ini:2: note: [device a] identity: the quotes are part of "
	                                       "the value; ini values need none\n"},
	    /* A [device] that no session can reach gets a note. */
	    {"[device a]\naddress = 10.0.0.0/8\n[device b]\naddress = 10.1.0.0/16\n",
	        "t.ini:3: note: [device b]: is never reached: [device a] stands before it and takes all of "
	        "its sessions\n"},
	    {"[device a]\naddress = 10.0.0.0/8\n[device b]\naddress = 10.1.0.0/16, 192.0.2.1\n", ""},
	    {"[device a]\nlistener = 127.0.0.1:1\n[device b]\n", ""},
	    {"[device a]\nupstream = cloud\n", "t.ini:2: [device a] upstream: `cloud` lacks its port, as in "
	                                       "192.0.2.7:5684\n"},
	    {"[device a]\nnat_timeout = 0\n",
	        "t.ini:2: [device a] nat_timeout: `0` is out of range; it is above 0\n"},
	    {"[device a]\nnat_refresh = down\n",
	        "t.ini:2: [device a] nat_refresh: `down` is unknown; it is up or both\n"},
	    {"[device a]\naddress = 10.0.0.256\n",
	        "t.ini:2: [device a] address: `10.0.0.256` is not an IPv4 or IPv6 address\n"},
	};
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		wrong += complaints_differ(rows[i].text, rows[i].want);
	assert_int_equal(wrong, 0);
}

/* ---- Files that a link names ---- */

static char folder[] = "/tmp/deadzone-config-XXXXXX";

static int folder_make(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/file", folder);
	unlink(path);
	return rmdir(folder);
}

static void test_files(void **state)
{
	static const struct {
		const char *key, *file, *want; /* want: what follows the path; NULL: no message */
	} rows[] = {
	    {"trace = ", "10\n20\n\n20\n", NULL},
	    {"trace = ", "10\nx\n", "`, line 2: a trace has one millisecond stamp a line\n"},
	    {"trace = ", "10\n1.5\n", "`, line 2: a trace has one millisecond stamp a line\n"},
	    {"trace = ", "10 20\n", "`, line 1: a trace has one millisecond stamp a line\n"},
	    {"trace = ", "10\n9\n", "`, line 2: the stamps of a trace never fall\n"},
	    {"trace = ", "10\r\n\r\n9\n", "`, line 3: the stamps of a trace never fall\n"},
	    {"trace = ", "", "` ends at 0 ms; a trace has a last stamp above 0, where it repeats\n"},
	    {"trace = ", "0\n0\n", "` ends at 0 ms; a trace has a last stamp above 0, where it repeats\n"},
	    {"distribution = file ", "1 2\n3\n", NULL},
	    {"distribution = file ", "one\n",
	        "line 1 of the table is not a number; an iproute2 table holds numbers\n"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char path[128], text[256];
		struct given given;
		FILE *out;

		snprintf(path, sizeof(path), "%s/file", folder);
		out = fopen(path, "w");
		assert_non_null(out);
		fputs(rows[i].file, out);
		fclose(out);
		snprintf(
		    text, sizeof(text), "[link x]\n%s%s\njitter = 1ms\nlatency = 1ms\n", rows[i].key, path);
		given_read(&given, text);
		if (rows[i].want) {
			assert_int_equal(complaints_count(given.complaints, COMPLAINT_ERROR), 1);
			assert_non_null(strstr(given.printed, rows[i].want));
		} else {
			assert_string_equal(given.printed, "");
		}
		given_free(&given);
	}
}

static void test_trace_in_place_of_rate(void **state)
{
	char path[128], text[512];
	struct given given;
	FILE *out;

	(void)state;
	snprintf(path, sizeof(path), "%s/file", folder);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs("10\n", out);
	fclose(out);
	snprintf(text, sizeof(text), "[link x]\ntrace = %s\nrate = 18kbit\nqueue = 10p\n", path);
	given_read(&given, text);
	assert_string_equal(given.printed,
	    "t.ini:2: [link x] trace: stands in place of `rate`; only one of them may be given\n");
	given_free(&given);
	/* A section's own `rate` replaces an inherited `trace`, and the other way round. */
	snprintf(text, sizeof(text),
	    "[link t]\ntrace = %s\n[link r]\nrate = 18kbit\nqueue = 10p\n[link a]\nlike = t\nrate = "
	    "9kbit\nqueue = 10p\n"
	    "[link b]\nlike = r\ntrace = %s\n",
	    path, path);
	given_read(&given, text);
	assert_string_equal(given.printed, "");
	assert_int_equal(given.config->links[3].ways[WAY_UP].trace.count, 0);
	assert_int_equal(given.config->links[3].ways[WAY_UP].rate, 9000);
	assert_int_equal(given.config->links[4].ways[WAY_UP].trace.count, 1);
	assert_int_equal(given.config->links[4].ways[WAY_UP].rate, 0);
	given_free(&given);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_link),
	    cmocka_unit_test(test_gilbert_of_run),
	    cmocka_unit_test(test_rule),
	    cmocka_unit_test(test_device),
	    cmocka_unit_test(test_mistakes),
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_trace_in_place_of_rate),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
