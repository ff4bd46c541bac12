# pg_sovereign - build, install, demo, test, bench.
#
# Core and providers know no server: they are compiled once, here, without the
# server's include path, into build/libsovcore.a; the "arrows" target proves
# that they refer to nothing of it.  The extension (PGXS) and the command link
# that archive.

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
# (VERSION, HEADERS, ... are names of PGXS)
SOV_VERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" extension/pg_sovereign.control)

# The rooms of the core, each of which knows only those before it.
CORE_ROOMS = base crypto objects custody config repository audit wal backup restore upkeep migration
CORE_SRCS := $(foreach room,$(CORE_ROOMS),$(wildcard extension/core/$(room)/*.c)) $(wildcard providers/*.c)
CLI_SRCS := $(wildcard extension/cli/*.c)
CORE_OBJS := $(CORE_SRCS:%.c=build/%.o)
CLI_OBJS := $(CLI_SRCS:%.c=build/%.o)
SOV_HEADERS := $(wildcard include/*.h)

EXTENSION = extension/pg_sovereign
# The install script is these parts in order: each uses what stands before it.
SCHEMA := $(sort $(wildcard extension/schema/*.sql))
INSTALL_SQL = build/pg_sovereign--$(SOV_VERSION).sql
DATA_built = $(INSTALL_SQL) $(patsubst extension/update/%.sql,build/pg_sovereign--%--$(SOV_VERSION).sql,$(wildcard extension/update/*.sql))
MODULE_big = pg_sovereign
OBJS = $(patsubst %.c,%.o,$(wildcard extension/backend/*.c))
SCRIPTS_built = build/pg_sovereign
REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --load-extension=pg_sovereign

# intel-ipsec-mb and ISA-L exist for x86-64; elsewhere the portable paths give
# the same bytes.
ARCH := $(shell uname -m)
HAVE_IPSEC_MB ?= $(if $(wildcard /usr/include/intel-ipsec-mb.h),1,)
HAVE_ISAL ?= $(if $(wildcard /usr/include/isa-l/erasure_code.h /usr/include/isa-l.h),1,)
SOV_DEFS = -D_GNU_SOURCE -DSOV_VERSION='"$(SOV_VERSION)"' \
	$(if $(HAVE_IPSEC_MB),-DHAVE_IPSEC_MB) $(if $(HAVE_ISAL),-DHAVE_ISAL)
SOV_WARN = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-format-truncation
SOV_CFLAGS = -std=gnu11 -O2 -g -fPIC -fstack-protector-strong -D_FORTIFY_SOURCE=2 \
	$(SOV_WARN) $(SOV_DEFS) -Iinclude -Iextension/core -MMD -MP
SOV_LIBS = -lzstd -lgfshare -linih -ljansson -lcrypto -lcurl -lexpat \
	$(if $(HAVE_IPSEC_MB),-lIPSec_MB) $(if $(HAVE_ISAL),-lisal) -lpthread
# What only the command links: no PKCS#11 library in a server process.
CUSTODY_LIBS = -lp11-kit

PG_CPPFLAGS = -Iinclude $(SOV_DEFS)
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare -Wno-cast-function-type
SHLIB_LINK = -Wl,--exclude-libs,ALL build/libsovcore.a $(SOV_LIBS)
EXTRA_CLEAN = build tmp_check

ifneq ($(PGXS),)
include $(PGXS)
$(shlib): build/libsovcore.a
$(OBJS): $(SOV_HEADERS) $(wildcard extension/backend/*.h)
all: arrows
else
all install:
	@echo "pg_config was not found: run 'make setup' (as root or with sudo), or give PG_CONFIG=..." >&2; exit 1
endif

build/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(SOV_CFLAGS) -c $< -o $@

# Where the catalogue of providers is installed, beside the extension's data.
CATALOGUE = $(shell $(PG_CONFIG) --sharedir)/extension/pg_sovereign_providers.ini
build/extension/core/config/vendors.o build/san/extension/core/config/vendors.o: SOV_CFLAGS += -DSOV_CATALOGUE_FILE='"$(CATALOGUE)"'
.PHONY: install-catalogue uninstall-catalogue
install: install-catalogue
install-catalogue: providers/catalogue.ini
	$(MKDIR_P) '$(DESTDIR)$(dir $(CATALOGUE))'
	$(INSTALL_DATA) $< '$(DESTDIR)$(CATALOGUE)'
uninstall: uninstall-catalogue
uninstall-catalogue:
	rm -f '$(DESTDIR)$(CATALOGUE)'

$(INSTALL_SQL): $(SCHEMA) Makefile
	@mkdir -p $(@D)
	cat $(SCHEMA) >$@.new
	mv $@.new $@

# An update is what brings an old version's objects to the mark in the install script,
# and that script from there on; of the type that is there already only what stands around it.
build/pg_sovereign--%--$(SOV_VERSION).sql: extension/update/%.sql $(INSTALL_SQL) Makefile
	@mkdir -p $(@D)
	sed 's/@VERSION@/$(SOV_VERSION)/' $< >$@.new
	sed -e '1,/^-- The update from /d' -e "s/^SELECT add_encrypted_type('text'/SELECT type_complete('encrypted_text', 'text'/" $(INSTALL_SQL) >>$@.new
	mv $@.new $@

build/libsovcore.a: $(CORE_OBJS)
	rm -f $@ && ar rcs $@ $^

$(CLI_OBJS): SOV_CFLAGS += -I$(shell $(PG_CONFIG) --includedir) -DSOV_PG_BINDIR='"$(shell $(PG_CONFIG) --bindir)"'
# The one file of the command that includes a header of the server.
build/extension/cli/pgpage.o: SOV_CFLAGS += -I$(shell $(PG_CONFIG) --includedir-server)
build/pg_sovereign: $(CLI_OBJS) build/libsovcore.a
	$(CC) -o $@ $(CLI_OBJS) build/libsovcore.a $(SOV_LIBS) $(CUSTODY_LIBS) -L$(shell $(PG_CONFIG) --libdir) -lpq

-include $(CORE_OBJS:.o=.d) $(CLI_OBJS:.o=.d) $(CORE_SRCS:%.c=build/san/%.d)

# Arrows point one way: core and providers may not know the server, nor end the
# process.
.PHONY: arrows setup demo test test-versions deb dist man check-unit check-fuzz bench fuzz corpus unit-programs fuzz-programs unit-names fuzz-names
arrows: build/libsovcore.a
	@bad=$$(nm -u $(CORE_OBJS) | grep -wE 'palloc|pfree|repalloc|errstart|errfinish|ereport|elog|exit|_exit|abort|longjmp|siglongjmp' ); \
	if [ -n "$$bad" ]; then echo "core or providers refer to the server or end the process:"; echo "$$bad"; exit 1; fi; \
	bad=$$(grep -lE '#include "(postgres|fmgr|utils|backend|cli)' $(CORE_SRCS) $(SOV_HEADERS)); \
	if [ -n "$$bad" ]; then echo "core includes what it may not: $$bad"; exit 1; fi; \
	before=; for room in $(CORE_ROOMS); do \
		bad=$$(grep -E '^#include "[a-z]+/' extension/core/$$room/*.[ch] | grep -vE ":#include \"($$before$$room)/"); \
		if [ -n "$$bad" ]; then echo "$$room knows what is not before it: $$bad"; exit 1; fi; \
		before="$$before$$room|"; \
	done; \
	bad=$$(grep -E "^#include \"($$before)/" extension/cli/*.[ch] extension/backend/*.[ch]); \
	if [ -n "$$bad" ]; then echo "what is private to the core is used outside it: $$bad"; exit 1; fi

# --- unit tests and fuzz targets: also under AddressSanitizer and UBSan ---
UNIT_NAMES := $(patsubst test/unit/%.c,%,$(wildcard test/unit/*.c)) $(patsubst test/conformance/%.c,%,$(wildcard test/conformance/*.c))
FUZZ_NAMES := $(patsubst test/fuzz/fuzz_%.c,%,$(wildcard test/fuzz/fuzz_*.c))
SAN_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -U_FORTIFY_SOURCE
SAN_OBJS := $(CORE_SRCS:%.c=build/san/%.o)

build/san/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(SOV_CFLAGS) -O1 $(SAN_FLAGS) -c $< -o $@
build/san/libsovcore.a: $(SAN_OBJS)
	rm -f $@ && ar rcs $@ $^
vpath %.c test/unit test/conformance
$(foreach b,build build/san,$(b)/extension/core/custody/pkcs11_token.o $(b)/extension/core/custody/custodian_pkcs11.o): SOV_CFLAGS += -isystem /usr/include/p11-kit-1
build/unit/%: %.c $(wildcard test/unit/*.h) $(wildcard test/conformance/*.h) $(wildcard providers/*.h) $(SOV_HEADERS) build/libsovcore.a
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(SOV_CFLAGS)) -Itest/unit $< -o $@ build/libsovcore.a $(SOV_LIBS) $(CUSTODY_LIBS)
build/san/unit/%: %.c $(wildcard test/unit/*.h) $(wildcard test/conformance/*.h) $(wildcard providers/*.h) $(SOV_HEADERS) build/san/libsovcore.a
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(SOV_CFLAGS)) -O1 $(SAN_FLAGS) -Itest/unit $< -o $@ build/san/libsovcore.a $(SOV_LIBS) $(CUSTODY_LIBS)
build/fuzz/%: test/fuzz/fuzz_%.c test/fuzz/driver.c $(SOV_HEADERS) build/san/libsovcore.a
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(SOV_CFLAGS)) -O1 $(SAN_FLAGS) $< test/fuzz/driver.c -o $@ build/san/libsovcore.a $(SOV_LIBS) $(CUSTODY_LIBS)

# For test/run.sh
unit-programs: $(UNIT_NAMES:%=build/unit/%) $(UNIT_NAMES:%=build/san/unit/%) build/test/moody_token.so
fuzz-programs: $(FUZZ_NAMES:%=build/fuzz/%)
unit-names:
	@echo $(UNIT_NAMES)
fuzz-names:
	@echo $(FUZZ_NAMES)
build/make_corpus: test/fuzz/make_corpus.c test/fuzz/sealing.h test/unit/testkeys.h $(SOV_HEADERS) build/libsovcore.a
	$(CC) $(filter-out -MMD -MP,$(SOV_CFLAGS)) $< -o $@ build/libsovcore.a $(SOV_LIBS) $(CUSTODY_LIBS)
corpus: build/make_corpus
	build/make_corpus test/fuzz/corpus

check-unit: $(UNIT_NAMES:%=build/unit/%) $(UNIT_NAMES:%=build/san/unit/%)
	prove -e '' $(UNIT_NAMES:%=build/unit/%) $(UNIT_NAMES:%=build/san/unit/%)
check-fuzz: $(FUZZ_NAMES:%=build/fuzz/%)
	for f in $(FUZZ_NAMES); do build/fuzz/$$f -n 2000 test/fuzz/corpus/$$f || exit 1; done
# Coverage-guided, needs clang; SECONDS_EACH bounds it.
SECONDS_EACH ?= 60
fuzz:
	@mkdir -p build/libfuzzer
	for f in $(FUZZ_NAMES); do \
		clang $(filter-out -MMD -MP -Werror,$(SOV_CFLAGS)) -O1 -fsanitize=fuzzer,address,undefined -DSOV_CATALOGUE_FILE='"$(CATALOGUE)"' test/fuzz/fuzz_$$f.c $(CORE_SRCS) -isystem /usr/include/p11-kit-1 -o build/libfuzzer/$$f $(SOV_LIBS) $(CUSTODY_LIBS) && \
		build/libfuzzer/$$f -max_total_time=$(SECONDS_EACH) test/fuzz/corpus/$$f || exit 1; \
	done

build/bench/%: test/bench/%.c build/libsovcore.a
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(SOV_CFLAGS)) $< -o $@ build/libsovcore.a $(SOV_LIBS)

# Looks for keys in the memory of processes, for test/t
build/test/memory: test/memory.c build/libsovcore.a
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(SOV_CFLAGS)) $< -o $@ build/libsovcore.a $(SOV_LIBS)

# SoftHSM2 on bad days, for the conformance suite of custodians
build/test/moody_token.so: test/moody_token.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 $(SOV_WARN) -isystem /usr/include/p11-kit-1 -shared -fPIC $< -o $@

# Notes in which order files are changed and synced, and how many threads do a thing at
# once, for test/t
build/test/%.so: test/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 $(SOV_WARN) -D_GNU_SOURCE -shared -fPIC $< -o $@

# --- packages: Debian's for the server of PG_CONFIG, a source archive as PGXN takes it ---
man: build/pg_sovereign
	extension/packaging/man.sh $< build/man
deb:
	extension/packaging/deb.sh $(SOV_VERSION) $(PG_CONFIG) build/deb
dist:
	extension/packaging/dist.sh $(SOV_VERSION) build

setup:
	test/setup.sh

demo: setup
	test/demo.sh

test:
	test/setup.sh tests
	test/run.sh

# On PostgreSQL 17 and 18, in chroots; not part of "test": it takes its time.
test-versions:
	test/versions.sh

bench:
	test/setup.sh bench
	test/bench/run.sh
