/*
 * crc32c.c - CRC-32C (Castagnoli, reflected 0x82F63B78; RFC 3720, appendix B.4).
 *
 * Not for security: the server's backup_manifest wants it.  combine follows from
 * the CRC being linear: appending n zero bits multiplies by x^n modulo the
 * polynomial.
 */
#include "crc32c.h"

#ifdef HAVE_ISAL
#include <isa-l/crc.h>
#endif

#define POLY UINT32_C(0x82f63b78)

#ifdef HAVE_ISAL
uint32_t
crc32c(const void *p, size_t len)
{
	return ~crc32_iscsi((unsigned char *) p, (int) len, ~UINT32_C(0));
}
#else
uint32_t
crc32c(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint32_t	crc = ~UINT32_C(0);

	for (size_t i = 0; i < len; i++)
	{
		crc ^= b[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLY : 0);
	}
	return ~crc;
}
#endif

/* a * b modulo the polynomial, bit 31 being x^0. */
static uint32_t
multiply(uint32_t a, uint32_t b)
{
	uint32_t	product = 0;

	for (uint32_t m = UINT32_C(1) << 31; m != 0; m >>= 1)
	{
		if (a & m)
			product ^= b;
		b = b >> 1 ^ (b & 1 ? POLY : 0);
	}
	return product;
}

uint32_t
crc32c_combine(uint32_t a, uint32_t b, uint64_t b_len)
{
	uint32_t	power = UINT32_C(1) << 31,	/* x^0 */
				square = UINT32_C(1) << 23;	/* x^8: one byte */

	for (uint64_t n = b_len; n != 0; n >>= 1)
	{
		if (n & 1)
			power = multiply(power, square);
		square = multiply(square, square);
	}
	return multiply(power, a) ^ b;
}
