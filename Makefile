# PGXS build: make, make install, make installcheck. The version comes from pg_enroll.control alone.
EXTENSION = pg_enroll
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)
DATA = $(wildcard extension/$(EXTENSION)--*.sql)

MODULE_big = pg_enroll
SOURCES = $(sort $(wildcard src/*.cpp src/rules/*.cpp src/engine/*.cpp src/pg/*.cpp))
INCLUDED = $(wildcard src/*.hpp src/rules/*.hpp src/engine/*.hpp src/pg/*.hpp)
OBJS = $(SOURCES:.cpp=.o)

# The engine jumps by longjmp and owns nothing that needs a destructor, so it has no use for
# exceptions. The bridge is the one object of the engine that may call code that throws.
STRICT = -std=c++20 -Wall -Wextra -Werror
UNTHROWING = $(filter-out src/engine/bridge.o,$(filter src/engine/%.o src/pg/%.o,$(OBJS)))
PG_CPPFLAGS = -I$(srcdir)/src
PG_CXXFLAGS = $(STRICT)
SHLIB_LINK = -lstdc++ -Wl,--version-script=$(srcdir)/src/exports.map

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --inputdir=$(srcdir)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

override BITCODE_CXXFLAGS += $(STRICT)
$(UNTHROWING): override CXXFLAGS += -fno-exceptions
$(UNTHROWING:.o=.bc): override BITCODE_CXXFLAGS += -fno-exceptions
$(OBJS) $(OBJS:.o=.bc): $(INCLUDED)
pg_enroll.so: src/exports.map

.PHONY: test mutants quickstart bench version
test:
	bash $(srcdir)/test/run.sh
mutants:
	bash $(srcdir)/test/mutants.sh
quickstart:
	bash $(srcdir)/examples/quickstart.sh
bench:
	bash $(srcdir)/bench/run.sh
version:
	@echo $(EXTVERSION)
