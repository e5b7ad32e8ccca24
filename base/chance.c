/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/chance.h"

#include <math.h>
#include <string.h>

uint64_t chance_hash(uint64_t key, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint64_t hash = chance_mix(key ^ size);

	for (; size; at += 8) {
		uint64_t word = 0;
		size_t word_size = size < 8 ? size : 8;

		memcpy(&word, at, word_size);
		hash = chance_mix(hash ^ word);
		size -= word_size;
		if (!size)
			break;
	}
	return hash;
}

ns_t chance_time(struct draw draw, unsigned number, const struct time_range *range)
{
	return range->low + (ns_t)chance_below(draw, number, (uint64_t)(range->high - range->low) + 1);
}

double chance_normal_share(double score)
{
	return 0.5 * erfc(-score * M_SQRT1_2);
}

static double eval_polynomial(const double *coefficients, size_t count, double x)
{
	double sum = coefficients[count - 1];

	while (--count)
		sum = sum * x + coefficients[count - 1];
	return sum;
}

/*
 * Wichura's rational approximations, accurate to about 1 part in 10^16 (Algorithm AS 241: The percentage
 * points of the normal distribution, Applied Statistics 37, 1988, routine PPND16).
 */
double chance_normal_quantile(double share)
{
	static const double a[] = {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
	    1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
	    3.3430575583588128105e4, 2.5090809287301226727e3};
	static const double b[] = {1.0, 4.2313330701600911252e1, 6.8718700749205790830e2,
	    5.3941960214247511077e3, 2.1213794301586595867e4, 3.9307895800092710610e4,
	    2.8729085735721942674e4, 5.2264952788528545610e3};
	static const double c[] = {1.42343711074968357734e0, 4.63033784615654529590e0,
	    5.76949722146069140550e0, 3.64784832476320460504e0, 1.27045825245236838258e0,
	    2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4};
	static const double d[] = {1.0, 2.05319162663775882187e0, 1.67638483018380384940e0,
	    6.89767334985100004550e-1, 1.48103976427480074590e-1, 1.51986665636164571966e-2,
	    5.47593808499534494600e-4, 1.05075007164441684324e-9};
	static const double e[] = {6.65790464350110377720e0, 5.46378491116411436990e0,
	    1.78482653991729133580e0, 2.96560571828504891230e-1, 2.65321895265761230930e-2,
	    1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7};
	static const double f[] = {1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1,
	    1.48753612908506148525e-2, 7.86869131145613259100e-4, 1.84631831751005468180e-5,
	    1.42151175831644588870e-7, 2.04426310338993978564e-15};
	double q = share - 0.5, r;

	if (fabs(q) <= 0.425) {
		r = 0.180625 - q * q;
		return q * eval_polynomial(a, 8, r) / eval_polynomial(b, 8, r);
	}
	r = sqrt(-log(q < 0 ? share : 1 - share));
	if (r <= 5)
		r = eval_polynomial(c, 8, r - 1.6) / eval_polynomial(d, 8, r - 1.6);
	else
		r = eval_polynomial(e, 8, r - 5) / eval_polynomial(f, 8, r - 5);
	return q < 0 ? -r : r;
}
