# make run    installs what is missing, builds, writes the embedded corpus and trains the quickstart on it
# make test   the same set-up, then the tests in a Release build
# make test-long  the tests that take minutes     make sanitize  the unit tests under ASan, UBSan
# make bench  the CPU benchmarks     make lint  formatting and house rules     make format  applies the formatting
SHELL := bash
JOBS ?= $(shell nproc)

# ninja may have been installed by the recipe's own set-up, so this is decided in the shell.
configure = cmake -B $(1) $$([ ! -f $(1)/CMakeCache.txt ] && command -v ninja >/dev/null && echo -G Ninja) $(2)

.PHONY: run test test-long build-test sanitize bench build format lint clean
run: build
	@[ -f data/tales/validation.bin ] || build/rowan tales --out data/tales
	build/rowan train configs/quickstart.json

build:
	@scripts/setup.sh
	@$(call configure,build)
	@cmake --build build -j $(JOBS) --target rowan

build-test:
	@scripts/lint.sh
	@scripts/setup.sh test
	@$(call configure,build-test,-DROWAN_TESTS=ON -DROWAN_WERROR=ON)
	@cmake --build build-test -j $(JOBS)

test: build-test
	@ctest --test-dir build-test -LE long -j $(JOBS) --output-on-failure </dev/null

test-long: build-test
	@ctest --test-dir build-test -L long -j $(JOBS) --output-on-failure </dev/null

sanitize:
	@scripts/setup.sh test
	@$(call configure,build-sanitize,-DROWAN_TESTS=ON -DROWAN_WERROR=ON -DROWAN_CUDA=OFF -DROWAN_SANITIZE=address$(comma)undefined \
	  -DCMAKE_BUILD_TYPE=Sanitize -DCMAKE_CXX_FLAGS_SANITIZE=-O0)
	@cmake --build build-sanitize -j $(JOBS) --target unit_tests
	@OMP_NUM_THREADS=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 build-sanitize/tests/unit_tests --gtest_brief=1 </dev/null

bench: build
	build/rowan bench step

format:
	@find src kernels tests -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' -o -name '*.inc' | xargs clang-format -i

lint:
	@scripts/lint.sh --strict

clean:
	rm -rf build build-test build-sanitize

comma := ,
