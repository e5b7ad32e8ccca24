/* SPDX-License-Identifier: BSD-2-Clause */
/* sections: the index finds the same [device] as a linear search in file order. */
#include "test/unit/drawn.h"

#include "rules/sections.h"

#define SECTIONS 60
#define ROUNDS 200

/* There are few hosts, ports and lengths, so that sections overlap. */
static void add_pattern(struct text *ini, struct dice *dice)
{
	static const unsigned lengths[] = {0, 8, 23, 24, 30, 31};

	if (once_in(dice, 8))
		text_add(ini, "2001:db8::%x/%u", roll(dice, 4), 126 + roll(dice, 3));
	else if (once_in(dice, 2))
		text_add(
		    ini, "10.0.%u.%u/%u", roll(dice, 2), roll(dice, 8), lengths[roll(dice, COUNT(lengths))]);
	else if (once_in(dice, 2))
		text_add(ini, "10.0.%u.%u", roll(dice, 2), roll(dice, 8));
	else
		text_add(ini, "10.0.%u.%u:%u", roll(dice, 2), roll(dice, 8), 1 + roll(dice, 3));
}

static void add_section(struct text *ini, struct dice *dice, unsigned number)
{
	text_add(ini, "[device d%u]\n", number);
	for (unsigned i = roll(dice, 8) ? 1 + roll(dice, 2) : 0; i; i--) {
		text_add(ini, "address = ");
		add_pattern(ini, dice);
		text_add(ini, "\n");
	}
	if (once_in(dice, 4))
		text_add(ini, "listener = 192.0.2.1:%u\n", 5684 + roll(dice, 2));
	if (once_in(dice, 3)) {
		text_add(ini, "destination = ");
		add_pattern(ini, dice);
		text_add(ini, "\n");
	}
}

static struct address drawn_device(struct dice *dice)
{
	struct address device = {.family = FAMILY_IPV4,
	    .port = (uint16_t)(1 + roll(dice, 4)),
	    .ip = {10, 0, (uint8_t)roll(dice, 2), (uint8_t)roll(dice, 8)}};

	if (once_in(dice, 8))
		device = (struct address){.family = FAMILY_IPV6,
		    .port = 1,
		    .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)roll(dice, 6)}};
	return device;
}

static struct entrance drawn_entrance(struct dice *dice)
{
	struct entrance entrance = {
	    .listener = {
	        .family = FAMILY_IPV4, .port = (uint16_t)(5684 + roll(dice, 3)), .ip = {192, 0, 2, 1}}};

	if (once_in(dice, 2))
		entrance.destination = drawn_device(dice);
	return entrance;
}

static bool takes(const struct device *section, const struct address *device, const struct entrance *entrance)
{
	bool is_listener = !section->listener.count;

	for (size_t i = 0; i < section->listener.count; i++)
		is_listener |= address_equal(&section->listener.all[i], &entrance->listener);
	return is_listener && patterns_match(&section->address, device) &&
	       (!section->destination.count ||
	           (entrance->destination.family &&
	               patterns_match(&section->destination, &entrance->destination)));
}

static void test_find(void **state)
{
	struct dice dice = {1};

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned count = 1 + roll(&dice, SECTIONS);
		struct text ini = {0};
		struct given given;

		for (unsigned i = 0; i < count; i++)
			add_section(&ini, &dice, i);
		given_read(&given, ini.at);
		assert_int_equal(complaints_count(given.complaints, COMPLAINT_ERROR), 0);
		for (unsigned i = 0; i < 200; i++) {
			struct address device = drawn_device(&dice);
			struct entrance entrance = drawn_entrance(&dice);
			const struct device *first = NULL;

			for (unsigned k = 0; k < count && !first; k++)
				if (takes(&given.config->devices[k], &device, &entrance))
					first = &given.config->devices[k];
			assert_ptr_equal(sections_find(given.config->sections, &device, &entrance), first);
		}
		given_free(&given);
		text_free(&ini);
	}
}

/* A section's shadow takes all that the section would take: no address reaches the section. */
static void test_shadow(void **state)
{
	struct dice dice = {2};
	unsigned shadowed = 0;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct text ini = {0};
		struct given given;

		for (unsigned i = 0; i < 6; i++)
			add_section(&ini, &dice, i);
		given_read(&given, ini.at);
		for (unsigned i = 0; i < 6; i++) {
			const struct device *section = &given.config->devices[i],
			                    *shadow = sections_shadow(given.config->sections, section);

			shadowed += shadow != NULL;
			assert_true(!shadow || shadow < section);
			for (unsigned k = 0; shadow && k < 100; k++) {
				struct address device = drawn_device(&dice);
				struct entrance entrance = drawn_entrance(&dice);

				assert_ptr_not_equal(
				    sections_find(given.config->sections, &device, &entrance), section);
			}
		}
		given_free(&given);
		text_free(&ini);
	}
	assert_in_range(shadowed, 50, ROUNDS * 6 - 50); /* both kinds occur */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_shadow),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
