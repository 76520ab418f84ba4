# ROWAN_UNITY: headers are most of what the compiler reads, so a room whose files are compiled as one needs a fraction of
# the time. Names in the anonymous namespaces of a room must differ then (scripts/same_names.py), and whoever edits one
# file compiles its room: for a first build, not for developing.
if(NOT ROWAN_UNITY)
  return()
endif()

# The headers that most files of a target read are compiled once.
target_precompile_headers(rowan_core PRIVATE src/base/json.h kernels/backend.h <fmt/format.h>)
target_precompile_headers(rowan_commands PRIVATE src/base/json.h kernels/backend.h <fmt/format.h>)
foreach(level IN LISTS ROWAN_CPU_LEVELS)
  target_precompile_headers(rowan_cpu_${level} PRIVATE kernels/cpu/cpu_backend.h)
endforeach()

# unite(TARGET FILES...): `FILES`, of one room, are compiled as one. Those with definitions of their own stay apart.
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
  # The stages share their names; CLI11, JSON and version are compiled with or for something else.
  list(FILTER files EXCLUDE REGEX "/(stage_[a-z]*|command_line|json|nccl_communicator)\\.cpp$")
  if(room MATCHES "/(bench|commands|report|sweep)$")
    unite(rowan_commands ${files})
  else()
    unite(rowan_core ${files})
  endif()
endforeach()
file(GLOB files CONFIGURE_DEPENDS kernels/*.cpp kernels/dry/*.cpp)
# What stands in for CUDA must be an object of its own, which the emulated kernels replace.
list(FILTER files EXCLUDE REGEX "/cuda_absent\\.cpp$")
unite(rowan_core ${files})
