# make run        installs what is missing (scripts/setup.sh), builds, writes the embedded corpus and trains the quickstart on it
# make test       installs what is missing, builds, and runs lint and all tests but the long ones
# make test-long  runs the tests with the label `long`
# make clang      compiles the program and most tests with clang, for ASan and UBSan
# make sanitize   runs the unit tests of this build
# make tidy       runs clang-tidy on changed lines of .cpp files
# make arm64      compiles the CPU kernels and the model for arm64 and runs their tests under emulation
# make kernels    compares the registers and spills of the GPU kernels with scripts/gpu/kernels.txt; needs nvcc
# make bench      measures a training step
# make lint       checks the formatting and other rules
# make format     formats the sources
SHELL := bash
JOBS ?= $(shell nproc)

# The shell chooses the generator when the recipe runs, because scripts/setup.sh may just have installed ninja. A folder
# that is already configured keeps its generator and its setting of ROWAN_UNITY.
configure = cmake -B $(1) $$([ ! -f $(1)/CMakeCache.txt ] && { echo -DROWAN_UNITY=ON; \
  command -v ninja >/dev/null && echo -G Ninja; }) $(2)
# timed(NAME,COMMAND) runs COMMAND and prints the seconds that it took.
timed = began=$$(date +%s); $(2) || exit; echo "$(1): $$(($$(date +%s) - began)) s"

.PHONY: run announce test test-long build-test sanitize clang tidy arm64 kernels bench build format lint clean
run: announce build
	@[ -f data/tales/validation.bin ] || build/rowan tales --out data/tales
	build/rowan train configs/quickstart.json

# Compiling takes about 5 minutes on one core.
announce:
	@compile=$$([ -x build/rowan ] && echo "what changed of rowan" || \
	  echo "rowan (about $$(((4 + $(JOBS)) / $(JOBS))) min on $(JOBS) cores)"); \
	echo "run: compiles $$compile, writes a corpus (1 s), trains the quickstart (1 to 2 min)"

build:
	@scripts/setup.sh
	@$(call configure,build)
	@cmake --build build -j $(JOBS) --target rowan

build-test:
	@scripts/setup.sh test
	@$(call timed,test: lint,scripts/lint.sh)
	@$(call timed,test: configure,$(call configure,build-test,-DROWAN_TESTS=ON -DROWAN_WERROR=ON))
	@$(call timed,test: compile,cmake --build build-test -j $(JOBS))

test: build-test
	@$(call timed,test: run,ctest --test-dir build-test -LE long -j $(JOBS) --output-on-failure </dev/null)

test-long: build-test
	@$(call timed,test-long: run,ctest --test-dir build-test -L long -j $(JOBS) --output-on-failure </dev/null)

# Only compiles, without optimization and without GPU kernels. $(1): the targets
clang_build = scripts/setup.sh ci; \
  $(call configure,build-clang,-DROWAN_TESTS=ON -DROWAN_WERROR=ON -DROWAN_CUDA=OFF -DCMAKE_CXX_COMPILER=clang++ \
  -DROWAN_SANITIZE=address$(comma)undefined -DCMAKE_BUILD_TYPE=Check \
  -DCMAKE_CXX_FLAGS_CHECK="-O0 -Wno-pass-failed") && cmake --build build-clang -j $(JOBS) --target $(1)
clang:
	@$(call clang_build,rowan unit_tests backend_tests golden_tests endtoend_tests fuzz_tests multirank_tests)

# SANITIZED is a GoogleTest filter.
SANITIZED ?= *
sanitize:
	@$(call clang_build,unit_tests)
	@export OMP_NUM_THREADS=1 ASAN_OPTIONS=handle_sigbus=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1; \
	export GTEST_TOTAL_SHARDS=$(JOBS); \
	trap 'kill $$shards 2>/dev/null; exit 130' HUP INT TERM; \
	for shard in $$(seq $(JOBS)); do \
	  GTEST_SHARD_INDEX=$$((shard - 1)) build-clang/tests/unit_tests --gtest_brief=1 --gtest_filter='$(SANITIZED)' \
	    </dev/null & shards+=" $$!"; \
	done; \
	for shard in $$shards; do wait $$shard || failed=1; done; [ -z "$$failed" ]

tidy:
	@scripts/tidy.sh

arm64:
	@JOBS=$(JOBS) scripts/check_arm64.sh

kernels:
	@JOBS=$(JOBS) scripts/kernel_table.sh --check

bench: build
	build/rowan bench step

format:
	@format=$$(scripts/formatter.sh) || { echo "format: no clang-format 14 here" >&2; exit 1; }; \
	find src kernels tests -type f ! -name '.*' \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \
	  -o -name '*.inc' \) -print0 | xargs -0 "$$format" -i

lint:
	@scripts/lint.sh --strict

clean:
	rm -rf build build-test build-clang build-tidy

comma := ,
