// The test runner's main function, in an object of its own since it is slow to compile.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
