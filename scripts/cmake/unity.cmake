# ROWAN_UNITY compiles most files of a folder as one. The headers are then read less often, so a first build is faster.
# For development it is slower, because an edit of one file recompiles the whole folder. Names in the anonymous
# namespaces of a folder must differ (scripts/same_names.py checks this).
if(NOT ROWAN_UNITY)
  return()
endif()

# Precompiles headers that many files of a target include.
target_precompile_headers(rowan_core PRIVATE src/base/json.h kernels/backend.h <fmt/format.h>)
target_precompile_headers(rowan_commands PRIVATE src/base/json.h kernels/backend.h <fmt/format.h>)
foreach(level IN LISTS ROWAN_CPU_LEVELS)
  target_precompile_headers(rowan_cpu_${level} PRIVATE kernels/cpu/cpu_backend.h)
endforeach()

# unite(TARGET FILES...) compiles FILES as one file. CMake leaves out files that have compile definitions or options of
# their own.
function(unite target)
  if(NOT ARGN)
    return()
  endif()
  list(GET ARGN 0 first)
  get_filename_component(room ${first} DIRECTORY)
  get_filename_component(room ${room} NAME)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  set_source_files_properties(${ARGN} PROPERTIES UNITY_GROUP ${room})
endfunction()

file(GLOB rooms LIST_DIRECTORIES TRUE CONFIGURE_DEPENDS src/*)
foreach(room IN LISTS rooms)
  file(GLOB files CONFIGURE_DEPENDS ${room}/*.cpp)
  # These files are compiled separately. The stage files use the same names in their anonymous namespaces.
  list(FILTER files EXCLUDE REGEX "/(stage_[a-z0-9_]*|command_line|json|nccl_communicator)\\.cpp$")
  if(room MATCHES "/(bench|commands|report|sweep)$")
    unite(rowan_commands ${files})
  else()
    unite(rowan_core ${files})
  endif()
endforeach()
file(GLOB files CONFIGURE_DEPENDS kernels/*.cpp kernels/dry/*.cpp)
# cuda_absent.cpp must be an object of its own, because the emulated kernels replace it.
list(FILTER files EXCLUDE REGEX "/cuda_absent\\.cpp$")
unite(rowan_core ${files})
