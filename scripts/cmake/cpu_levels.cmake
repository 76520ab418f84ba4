# kernels/cpu is compiled once for each instruction set (level); kernels/cpu_levels.cpp chooses one at run time.
#
# On x86-64: the linker keeps one copy of an inline function or template, from any object, so the whole program might
# use a std::vector that was compiled for AVX-512. Therefore the objects of a level are joined into one object, whose
# only global symbols are those that kernels/cpu_levels.cpp calls. All other definitions in it, including those from
# headers, are local. tests/unit/kernels/test_cpu_levels.cpp checks this.
set(ROWAN_KERNEL_OPTIONS
  # Vectorized sums need -fassociative-math. Tests compare the results with tolerances.
  -O3 -fassociative-math -fno-signed-zeros -fno-trapping-math -fno-math-errno
  # objcopy cannot make a GNU unique symbol local.
  $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
if(ROWAN_SANITIZE)  # compilers do not vectorize sanitized loops, so -O3 would only take longer
  list(TRANSFORM ROWAN_KERNEL_OPTIONS REPLACE "^-O3$" -O1)
endif()
find_program(ROWAN_LD NAMES ld.bfd ld REQUIRED)
file(GLOB ROWAN_CPU_KERNELS CONFIGURE_DEPENDS kernels/cpu/*.cpp)

# add_kernel_level(LEVEL OPTIONS...) compiles kernels/cpu with OPTIONS as an object library. Its factory function is
# rowan_cpu_backend_LEVEL.
function(add_kernel_level level)
  set(ROWAN_CPU_LEVELS ${ROWAN_CPU_LEVELS} ${level} PARENT_SCOPE)
  add_library(rowan_cpu_${level} OBJECT ${ROWAN_CPU_KERNELS})
  set_target_properties(rowan_cpu_${level} PROPERTIES CPU_LEVEL ${level})
  target_link_libraries(rowan_cpu_${level} PRIVATE rowan_options OpenMP::OpenMP_CXX fmt::fmt)
  target_compile_options(rowan_cpu_${level} PRIVATE ${ROWAN_KERNEL_OPTIONS} ${ARGN})
  target_compile_definitions(rowan_cpu_${level} PRIVATE ROWAN_CPU_FACTORY=rowan_cpu_backend_${level} ROWAN_CPU_LEVEL="${level}")
  if(DNNL_LIBRARY)
    target_include_directories(rowan_cpu_${level} SYSTEM PRIVATE ${DNNL_INCLUDE})
    target_compile_definitions(rowan_cpu_${level} PRIVATE ROWAN_ONEDNN)
  endif()
endfunction()

# add_joined_level(LEVEL OPTIONS...) calls add_kernel_level(), joins its objects into one object and adds this object to
# ROWAN_SOURCES.
function(add_joined_level level)
  add_kernel_level(${level} ${ARGN})
  set(joined ${CMAKE_BINARY_DIR}/cpu_${level}.o)
  set(objects $<FILTER:$<TARGET_OBJECTS:rowan_cpu_${level}>,EXCLUDE,[gp]ch$>)
  add_custom_command(OUTPUT ${joined} DEPENDS rowan_cpu_${level} ${objects} VERBATIM
    COMMAND_EXPAND_LISTS
    COMMAND ${ROWAN_LD} -r --force-group-allocation -o ${joined}.all ${objects}
    COMMAND ${CMAKE_OBJCOPY} --keep-global-symbol=rowan_cpu_backend_${level}
      --keep-global-symbol=rowan_cpu_backend_${level}_rates ${joined}.all ${joined})
  set_source_files_properties(${joined} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  set(ROWAN_SOURCES ${ROWAN_SOURCES} ${joined} PARENT_SCOPE)
  set(ROWAN_CPU_LEVELS ${ROWAN_CPU_LEVELS} PARENT_SCOPE)
endfunction()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_joined_level(v2 -march=x86-64-v2)
  add_joined_level(v3 -march=x86-64-v3)
  add_joined_level(v4 -march=x86-64-v4 -mprefer-vector-width=512)
else()
  add_kernel_level(baseline)
  list(APPEND ROWAN_SOURCES $<TARGET_OBJECTS:rowan_cpu_baseline>)
endif()
