/*
 * generate_patients.c - invented patients as CSV, always the same ones.
 *
 * Columns: id, family name, given name, sex, national number (NIR: 13 digits and
 * the key 97 - number mod 97), birth date, ICD-10 code, note.  A note is put
 * together from phrases with numbers in them, so that it compresses about as
 * clinical free text does.
 *
 *     generate_patients N [FIRST_ID]
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(a) (sizeof (a) / sizeof (a)[0])

static const char *const family[] = {
	"Martin", "Bernard", "Thomas", "Petit", "Robert", "Richard", "Durand", "Dubois", "Moreau", "Laurent",
	"Simon", "Michel", "Lefebvre", "Leroy", "Roux", "David", "Bertrand", "Morel", "Fournier", "Girard",
	"Bonnet", "Dupont", "Lambert", "Fontaine", "Rousseau", "Vincent", "Muller", "Lefevre", "Faure", "Andre",
	"Mercier", "Blanc", "Guerin", "Boyer", "Garnier", "Chevalier", "Francois", "Legrand", "Gauthier", "Garcia",
	"Perrin", "Robin", "Clement", "Morin", "Nicolas", "Henry", "Roussel", "Mathieu", "Gautier", "Masson",
	"Marchand", "Duval", "Denis", "Dumont", "Marie", "Lemaire", "Noel", "Meyer", "Dufour", "Meunier",
	"Brun", "Blanchard", "Giraud", "Joly", "Riviere", "Lucas", "Brunet", "Gaillard", "Barbier", "Arnaud",
	"Martinez", "Gerard", "Roche", "Renard", "Schmitt", "Roy", "Leroux", "Colin", "Vidal", "Caron",
	"Picard", "Roger", "Fabre", "Aubert", "Lemoine", "Renaud", "Dumas", "Lacroix", "Olivier", "Philippe"
};
static const char *const male[] = {
	"Jean", "Pierre", "Michel", "Andre", "Philippe", "Rene", "Louis", "Alain", "Jacques", "Bernard",
	"Marcel", "Daniel", "Roger", "Robert", "Paul", "Claude", "Christian", "Henri", "Georges", "Nicolas"
};
static const char *const female[] = {
	"Marie", "Jeanne", "Francoise", "Monique", "Catherine", "Nathalie", "Isabelle", "Jacqueline", "Anne", "Sylvie",
	"Martine", "Madeleine", "Nicole", "Suzanne", "Helene", "Christine", "Marguerite", "Denise", "Louise", "Camille"
};
static const char *const codes[] = {
	"C50.9", "I10", "E11.9", "J45.9", "F32.1", "K21.0", "M54.5", "N18.3", "I48.0", "C61",
	"G20", "E78.0", "J44.1", "I25.1", "C18.7", "B20", "F20.0", "H40.1", "L40.0", "M06.9"
};
static const char *const phrases[] = {
	"consulte pour douleur thoracique depuis %u jours", "tension %u/80 au repos", "creatinine %u micromol/l",
	"antecedents familiaux notes", "traitement par metformine %u mg", "sans fievre ni frissons",
	"bilan biologique demande", "scanner prevu dans %u semaines", "poids %u kg, stable", "tolere bien le traitement",
	"a revoir dans %u mois", "hemoglobine glyquee a %u mmol/mol", "pas d'allergie connue", "fumeur, %u paquets-annees",
	"intervention chirurgicale en 19%02u", "confidentiel: suivi psychiatrique"
};

static uint64_t
mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint64_t state;

static unsigned
draw(unsigned n)
{
	state = mix(state);
	return (unsigned) (state >> 33) % n;
}

static void
patient(uint64_t id)
{
	int			woman,
				year,
				month,
				day;
	uint64_t	nir;

	state = id * 0x2545f4914f6cdd1du + 1;
	woman = (int) draw(2);
	year = 1925 + (int) draw(85);
	month = 1 + (int) draw(12);
	day = 1 + (int) draw(28);
	/* sex 1 | year 2 | month 2 | department 2 | commune 3 | order 3; the last
	 * two from the id, so that no number occurs twice in a thousand million */
	nir = (uint64_t) (woman ? 2 : 1) * 1000000000000u + (uint64_t) (year % 100) * 10000000000u +
		(uint64_t) month * 100000000u + (mix(id) % 95 + 1) * 1000000u + id % 1000000u;
	printf("%" PRIu64 ",%s,%s,%c,%013" PRIu64 "%02u,%04d-%02d-%02d,%s,", id, family[draw(COUNT(family))],
		   woman ? female[draw(COUNT(female))] : male[draw(COUNT(male))], woman ? 'F' : 'M',
		   nir, (unsigned) (97 - nir % 97), year, month, day, codes[draw(COUNT(codes))]);
	putchar('"');
	for (unsigned i = 0, n = 2 + draw(3); i < n; i++)
	{
		if (i > 0)
			fputs("; ", stdout);
		printf(phrases[draw(COUNT(phrases))], 1 + draw(90));
	}
	fputs("\"\n", stdout);
}

int
main(int argc, char **argv)
{
	uint64_t	n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000,
				first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	for (uint64_t i = 0; i < n; i++)
		patient(first + i);
	return ferror(stdout) ? 1 : 0;
}
